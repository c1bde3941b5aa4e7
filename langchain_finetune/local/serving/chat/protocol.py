"""A chat completion request; unsupported fields are refused, never ignored."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from langchain_finetune.checks import LOCAL, check_example, errors_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.protocol import (
    FieldsWithoutEffect,
    MaxTokens,
    SampledRequest,
    invalid,
    missing,
    one_fault,
    only,
)
from langchain_finetune.local.serving.structured.shape import AnswerSchema, Shape

_NOT_FOR_REQUESTS = {
    # These rules are about what is trained on; a request has its answer still to come, and its
    # history is what it is.
    "arguments_against_schema",
    "duplicate_call_id",
    "empty_target",
    "example_too_large",
    "no_assistant_message",
    "no_final_answer",
    "no_target",
    "special_token",
    "tool_not_offered",
    "unanswered_tool_call",
    "unasked_tool_result",
}
_CHECKED = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _FunctionName(_Part):
    name: str


class _NamedTool(_Part):
    type: Literal["function"]
    function: _FunctionName


class _AllowedTools(_Part):
    mode: Literal["auto", "required"]
    tools: Annotated[list[_NamedTool], Field(min_length=1)]


class _AllowedToolsChoice(_Part):
    type: Literal["allowed_tools"]
    allowed_tools: _AllowedTools


class _NamedSchema(_Part):
    name: Annotated[str, StringConstraints(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    json_schema: dict[str, Any] = Field(alias="schema")


class _ResponseFormat(_Part):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: _NamedSchema | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """The format as a training line has it."""
        return self.model_dump(by_alias=True)

    def document(self) -> AnswerSchema | None:
        """Return the requested JSON format; None for any text."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return AnswerSchema("response_format", {"type": "object"}, "response_format")
        if self.json_schema is None:
            raise missing("response_format.json_schema")
        name = f"response_format '{self.json_schema.name}'"
        return AnswerSchema(name, self.json_schema.json_schema, "response_format")


_UNKNOWN_CHOICE = one_fault("is not a choice that this engine knows")


class ChatRequest(SampledRequest, FieldsWithoutEffect):
    """A chat completion request.

    Messages and tools are held to the rules of training files, as far as those concern requests.
    """

    audio: Annotated[Any, only()] = None
    function_call: Annotated[Literal["none", "auto"] | _FunctionName | None, _UNKNOWN_CHOICE] = None
    functions: list[Any] = Field(default_factory=list)
    logprobs: bool = False
    max_completion_tokens: MaxTokens | None = None
    messages: list[Any]
    modalities: Annotated[Any, only(["text"])] = None
    parallel_tool_calls: bool = True
    reasoning_effort: Annotated[Any, only()] = None
    response_format: _ResponseFormat = Field(default_factory=_ResponseFormat)
    tool_choice: Annotated[
        Literal["none", "auto", "required"] | _NamedTool | _AllowedToolsChoice | None,
        _UNKNOWN_CHOICE,
    ] = None
    tools: list[Any] = Field(default_factory=list)
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    verbosity: Annotated[Any, only()] = None
    web_search_options: Annotated[Any, only()] = None

    def check(self) -> None:
        """Refuse invalid messages, tools and response formats, and contradictory fields."""
        given = {name: getattr(self, name) for name in self.model_fields_set & _CHECKED}
        for finding in errors_of(check_example(given, LOCAL)):
            if finding.code not in _NOT_FOR_REQUESTS:
                place = "" if finding.index is None else f"Message {finding.index}: "
                param = "messages" if finding.index is None else f"messages[{finding.index}]"
                raise ApiError(400, place + finding.message, code=finding.code, param=param)
        if self.top_logprobs and not self.logprobs:
            raise invalid("top_logprobs", "needs 'logprobs' to be true")
        if self.shape and self.stop and not self.shape.free:
            # It would cut the JSON in two.
            raise invalid("stop", "can't be combined with a response format or a forced tool")

    @property
    def legacy(self) -> bool:
        """It offers `functions`, so calls are answered in that form."""
        return not self.tools and bool(self.functions)

    @property
    def named(self) -> bool:
        """A single tool must be called; OpenAI's API then ends the answer with `stop`."""
        return isinstance(self._choice, _NamedTool | _FunctionName)

    @property
    def one_call(self) -> bool:
        """The answer ends with its first call."""
        return self.legacy or not self.parallel_tool_calls or self.named

    @property
    def calls(self) -> bool:
        """Whether tool calls are allowed."""
        return self._choice != "none" and (self.shape is None or bool(self.shape.tools))

    @property
    def chat(self) -> dict[str, Any]:
        """The messages, and the tools that may be called."""
        if self._choice == "none":
            return {"messages": self.messages}
        return {"messages": self.messages, "tools": self.tools, "functions": self.functions}

    @property
    def token_limit(self) -> int | None:
        """Most tokens of an answer; None for the engine's own limit."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """Each token's log-probability comes with this many alternatives; None for neither."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @cached_property
    def shape(self) -> Shape | None:
        """The form that the answer must have; None for any text.

        Raises:
            ApiError: 400; a tool is chosen that is not offered, or one's parameters are malformed.
        """
        forced, names = self._chosen()
        document = None if forced else self.response_format.document()
        tools = tuple(
            _offered(function, f"{place}.parameters")
            for place, function in self._functions()
            if self._choice != "none" and (names is None or function["name"] in names)
        )
        free = not forced and document is None
        if free and names is None and not any(tool.strict for tool in tools):
            return None
        return Shape(document, free=free, tools=tools, parallel=not self.one_call)

    @property
    def _choice(self) -> str | _NamedTool | _AllowedToolsChoice | _FunctionName | None:
        return self.tool_choice or self.function_call

    def _chosen(self) -> tuple[bool, frozenset[str] | None]:
        """Return whether a call is required, and of which tools; None for all tools."""
        match self._choice:
            case _NamedTool(function=_FunctionName(name=name)) | _FunctionName(name=name):
                forced, names = True, frozenset({name})
            case _AllowedToolsChoice(allowed_tools=allowed):
                forced = allowed.mode == "required"
                names = frozenset(tool.function.name for tool in allowed.tools)
            case mode:
                forced, names = mode == "required", frozenset()
        field, offers = "tool_choice", "tools"
        if self.tool_choice is None:
            field, offers = "function_call", "functions"
        offered = {
            function["name"] for place, function in self._functions() if place.startswith(offers)
        }
        if forced and not offered:
            raise invalid(field, f"is only allowed when '{offers}' are specified")
        for name in names - offered:
            raise invalid(field, f"names '{name}', which is not among the {offers}")
        return forced, names or None

    def _functions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the functions that are offered, with the fields that have them."""
        for index, tool in enumerate(self.tools):
            yield f"tools[{index}].function", tool["function"]
        for index, function in enumerate(self.functions):
            yield f"functions[{index}]", function


def _offered(function: Mapping[str, Any], param: str) -> AnswerSchema:
    schema = function.get("parameters")
    if schema is None:
        # Nothing given means no parameters (OpenAI's API reference).
        schema = {"type": "object", "properties": {}}
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise invalid(param, "must be a JSON schema of type object")
    strict = function.get("strict") is True
    return AnswerSchema(function["name"], {"type": "object"} | schema, param, strict)
