"""Forms that answers are asked for in, and models that know nothing of them."""

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Literal

from openai import pydantic_function_tool
from pydantic import BaseModel, Field

import langchain_finetune

NANO = Path(langchain_finetune.__file__).parent / "local" / "nano"
MODELS = ("tiny", "nano")
ASK = [{"role": "user", "content": "What's 56/7? Answer in JSON."}]


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark blue"


class Joke(BaseModel):
    setup: str
    punchline: str = Field(min_length=3)
    rating: int | None = Field(ge=1, le=10)
    colour: Colour


class Tree(BaseModel):
    value: float
    kind: Literal["leaf", "branch"]
    children: list["Tree"]


class Event(BaseModel):
    day: date
    address: str = Field(pattern=r"^[a-z]+@[a-z]+\.com$")
    guests: list[Joke] = Field(min_length=1, max_length=2)
    outside: bool


class Calculator(BaseModel):
    """Calculate."""

    num1: float
    num2: float
    operation: Literal["+", "-", "*", "/"]


class Search(BaseModel):
    """Search."""

    query: str
    limit: int


TOOLS = [pydantic_function_tool(Calculator), pydantic_function_tool(Search)]
