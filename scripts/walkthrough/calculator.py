"""The app of the first walkthrough: an accounting assistant with a calculator."""

from enum import StrEnum
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import PydanticToolsParser
from langchain_core.output_parsers.openai_functions import PydanticOutputFunctionsParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel, Field

SYSTEM_PROMPT = "You are an accounting assistant."


class Operation(StrEnum):
    """Operations of the calculator."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"


class Calculator(BaseModel):
    """Calculate with two numbers."""

    num1: float = Field(description="The first number")
    num2: float = Field(description="The second number")
    operation: Operation = Field(description="One of + - * /")

    def calculate(self) -> float:
        """Return the result.

        Raises:
            ZeroDivisionError: A division by zero.
        """
        match self.operation:
            case Operation.ADD:
                return self.num1 + self.num2
            case Operation.SUBTRACT:
                return self.num1 - self.num2
            case Operation.MULTIPLY:
                return self.num1 * self.num2
            case Operation.DIVIDE:
                return self.num1 / self.num2


PROMPT = ChatPromptTemplate.from_messages([("system", SYSTEM_PROMPT), ("user", "{input}")])


def tools_chain(model: BaseChatModel) -> Runnable[dict[str, Any], float]:
    """Return the app, from a question to its result; the model calls a tool."""
    parser = PydanticToolsParser(tools=[Calculator], first_tool_only=True)
    return PROMPT | model.bind_tools([Calculator]) | parser | Calculator.calculate


def functions_chain(model: BaseChatModel) -> Runnable[dict[str, Any], float]:
    """Return an older version of the app, with legacy functions."""
    parser = PydanticOutputFunctionsParser(pydantic_schema=Calculator)
    bound = model.bind(functions=[convert_to_openai_function(Calculator)])
    return PROMPT | bound | parser | Calculator.calculate
