"""The response format of a session is the one that was sent, or it says that it is unknown."""

from enum import Enum
from typing import Any, Literal

import pytest
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json_schema import dereference_refs
from openai.lib._parsing._completions import type_to_response_format_param
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field

from langchain_finetune import Convert, LangSmithRunChatLoader
from langchain_finetune.convert.contract import ContractBuilder
from langchain_finetune.dialects.response_formats import pydantic_format, strict_schema
from langchain_finetune.dialects.run import read_run
from langchain_finetune.messages import UnreadableChatError
from support.dialects import ITEM_TOLD, TOLD, ai, chat, traced, wrapped
from support.runs import SENT, WIRE_SENT, run

ASKED_FOR = {"type": "json_schema", "json_schema": {"name": "A", "schema": {"type": "object"}}}


class Room(BaseModel):
    """A room."""

    beds: int


class Flat(BaseModel):
    """A booking."""

    guest_name: str = Field(description="Who")
    nights: int | None = None
    wishes: list[str] = []
    price: float = Field(default=10, ge=0)
    anything: Any
    by_day: dict[str, int]
    title: str


class Undocumented(BaseModel):
    x: int


class Nested(BaseModel):
    room: Room


class Listed(BaseModel):
    rooms: list[Room]


class Kind(Enum):
    one = "one"
    two = "two"


class Chosen(BaseModel):
    kind: Kind


class Named(BaseModel):
    kind: Literal["one", "two"]


class Optional(BaseModel):
    room: Room | None


class Tree(BaseModel):
    branches: list["Tree"]


def recorded(model):
    """What LangChain's tracer writes of a class."""
    kwargs = {"method": "json_schema", "strict": None}
    return {"kwargs": kwargs, "schema": convert_to_json_schema(model)}


def structured(model, answer=None, **params):
    params |= {"response_format": str(model)}
    options = {"ls_structured_output_format": recorded(model)}
    return run(SENT, answer or ai("{}"), extra={"invocation_params": params, "options": options})


@pytest.mark.parametrize("model", [Flat, Undocumented, Named])
def test_a_pydantic_class_is_read_as_the_openai_sdk_sends_it(model):
    [session] = read_run(structured(model))
    sent = type_to_response_format_param(model)
    assert session["response_format"] == sent
    fields = session["response_format"]["json_schema"]["schema"]
    assert list(fields) == list(sent["json_schema"]["schema"])


def untitled(schema):
    """A schema with its references resolved, and without the titles."""
    resolved = dereference_refs(schema)
    resolved.pop("$defs", None)

    def made(value):
        if isinstance(value, list):
            return [made(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {k: made(v) for k, v in value.items() if k != "title" or not isinstance(v, str)}

    return made(resolved)


@pytest.mark.parametrize("model", [Nested, Listed, Chosen, Optional])
def test_a_class_of_classes_is_read_as_an_equal_schema(model):
    [session] = read_run(structured(model))
    read, sent = session["response_format"], type_to_response_format_param(model)
    assert untitled(read["json_schema"]["schema"]) == untitled(sent["json_schema"]["schema"])
    assert read["json_schema"]["strict"] is True
    assert read["json_schema"]["name"] == model.__name__


def test_a_class_that_contains_itself_is_unknown_since_the_tracer_loses_that():
    assert pydantic_format(str(Tree), recorded(Tree)) is None
    assert read_run(structured(Tree))[0]["response_format"] == {"type": "unknown"}


def test_a_class_in_a_streamed_responses_request_is_unknown():
    answer = ai("{}", "AIMessageChunk", id="resp_1")
    assert read_run(structured(Flat, answer))[0]["response_format"] == {"type": "unknown"}
    assert read_run(structured(Flat, ai("{}", id="resp_1")))[0]["response_format"] != {
        "type": "unknown"
    }


def test_a_chat_with_an_unknown_format_is_an_example_and_the_contract_says_so():
    sessions = LangSmithRunChatLoader([structured(Tree), structured(Tree), structured(Flat)])
    examples = (sessions | Convert()).invoke({})
    builder = ContractBuilder()
    for row in examples.rows():
        builder.add(row)
    contract = builder.contract()
    assert (contract.examples, contract.unknown_formats) == (3, 2)
    assert contract.response_format == type_to_response_format_param(Flat)
    assert examples.rejected == []


@pytest.mark.parametrize("model", [Flat, Nested, Listed, Chosen, Named, Optional])
def test_schemas_become_strict_as_in_the_openai_sdk(model):
    assert strict_schema(model.model_json_schema()) == to_strict_json_schema(model)


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/A", "title": "x"}, {"allOf": []}])
def test_what_the_sdk_would_resolve_is_not_guessed(schema):
    with pytest.raises(UnreadableChatError):
        strict_schema({"properties": {"a": schema}})


@pytest.mark.parametrize(
    "data",
    [
        traced(ai("{}"), response_format=ASKED_FOR),
        chat(TOLD, response_format=ASKED_FOR),
        wrapped(
            {
                "input": "x",
                "text": {"format": {"type": "json_schema", **ASKED_FOR["json_schema"]}},
            },
            {"output": [ITEM_TOLD]},
        ),
    ],
)
def test_a_schema_that_was_sent_as_data_stays_as_it_is(data):
    [session] = read_run(data)
    assert session["response_format"] == ASKED_FOR


def test_json_mode_is_read():
    mode = {"type": "json_object"}
    assert read_run(traced(ai("{}"), response_format=mode))[0]["response_format"] == mode
    inputs = {"input": "x", "text": {"format": mode}}
    assert read_run(wrapped(inputs, {"output": [ITEM_TOLD]}))[0]["response_format"] == mode
    plain = {"input": "x", "text": {"format": {"type": "text"}, "verbosity": "low"}}
    assert "response_format" not in read_run(wrapped(plain, {"output": [ITEM_TOLD]}))[0]


def test_the_class_given_to_responses_parse_is_read_from_its_schema():
    inputs = {"input": "x", "text_format": Nested.model_json_schema()}
    [session] = read_run(wrapped(inputs, {"output": [ITEM_TOLD]}))
    assert session["response_format"] == type_to_response_format_param(Nested)


@pytest.mark.parametrize(
    "data",
    [
        chat(TOLD, response_format="<class 'app.Answer'>"),
        wrapped({"input": "x", "text_format": "<class 'A'>"}, {"output": [ITEM_TOLD]}),
        wrapped({"messages": WIRE_SENT, "config": {"response_schema": "<class 'A'>"}}, TOLD),
    ],
)
def test_a_schema_that_is_not_in_the_run_is_unknown(data):
    assert read_run(data)[0]["response_format"] == {"type": "unknown"}


ZOD = {"type": "json_schema", "json_schema": {"name": "A", "schema": {"def": {"type": "object"}}}}


def test_the_schema_of_a_zod_object_is_read_from_where_it_is_json_schema():
    data = traced(ai("{}"), response_format=ZOD)
    assert read_run(data)[0]["response_format"] == {"type": "unknown"}
    told = ASKED_FOR["json_schema"]["schema"]
    data["extra"]["options"] = {"ls_structured_output_format": {"schema": told}}
    assert read_run(data)[0]["response_format"] == ASKED_FOR


SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}
NAMELESS = {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}


@pytest.mark.parametrize(
    "settings",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        {"config": {"response_schema": SCHEMA, "response_mime_type": "application/json"}},
        {"generationConfig": {"responseSchema": SCHEMA, "responseMimeType": "application/json"}},
        {"responseFormat": {"type": "json", "schema": SCHEMA}},
        {"model_parameters": {"response_format": NAMELESS}},
        {"format": SCHEMA},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_schemas_without_a_name_get_one(settings):
    [session] = read_run(wrapped({"messages": WIRE_SENT, **settings}, TOLD))
    assert session["response_format"] == NAMELESS
