"""A request of the Responses API, and the equivalent chat completion request.

The engine remembers no responses, so whatever refers to an earlier one is refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.chat.protocol import ChatRequest
from langchain_finetune.local.serving.protocol import (
    FieldsWithoutEffect,
    MaxTokens,
    ModelRequest,
    one_fault,
    only,
    refusal,
    unsupported,
)

WireChatMessage = dict[str, Any]

_TEXT_FIELDS = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "refusal": "refusal",
}


def _joined(content: Any) -> Any:
    """Return the text of a content's parts."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(_TEXT_FIELDS.get(kind, "")) if isinstance(kind, str) else None
        if not isinstance(text, str):
            raise PydanticCustomError("invalid_value", "must have text parts only")
        texts.append(text)
    return "".join(texts)


PartsText = Annotated[str, BeforeValidator(_joined)]


class _Item(BaseModel):
    model_config = ConfigDict(strict=True)


class _InputMessage(_Item):
    role: str
    content: PartsText

    def add_to(self, messages: list[WireChatMessage]) -> None:
        messages.append({"role": self.role, "content": self.content})


class _InputCall(_Item):
    call_id: str
    name: str
    arguments: str

    def add_to(self, messages: list[WireChatMessage]) -> None:
        """Add it to the preceding assistant message, if any."""
        function = {"name": self.name, "arguments": self.arguments}
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(
            {"id": self.call_id, "type": "function", "function": function}
        )


class _InputCallOutput(_Item):
    call_id: str
    output: PartsText

    def add_to(self, messages: list[WireChatMessage]) -> None:
        messages.append({"role": "tool", "tool_call_id": self.call_id, "content": self.output})


_ITEMS: Mapping[str, type[_InputMessage] | type[_InputCall] | type[_InputCallOutput]] = {
    "message": _InputMessage,
    "function_call": _InputCall,
    "function_call_output": _InputCallOutput,
}


def read_input(given: str | list[Any]) -> list[WireChatMessage]:
    """Return the messages of a request's `input`.

    Raises:
        ApiError: 400; an item is malformed, or of a kind that this engine can't read.

    Example:
        >>> read_input("hello")
        [{'role': 'user', 'content': 'hello'}]
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[WireChatMessage] = []
    for index, item in enumerate(given):
        place = f"input[{index}]"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "reasoning":
            # Chat templates leave out what was thought before earlier answers.
            continue
        if not isinstance(kind, str) or kind not in _ITEMS:
            raise unsupported(place, f"this engine reads items of the types {', '.join(_ITEMS)}")
        try:
            _ITEMS[kind].model_validate(item).add_to(messages)
        except ValidationError as error:
            raise refusal(error, place) from None
    return messages


class _TextOptions(_Item):
    format: dict[str, Any] | None = None


class _FlatTool(BaseModel):
    """A function that may be called, with its fields beside its type."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["function"]
    strict: Any = None
    parameters: Any = None

    def for_chat(self) -> dict[str, Any]:
        """Return it as chat completions have it."""
        given = {name: value for name, value in self if name != "type" and value is not None}
        return {"type": self.type, "function": given}


_ONLY_FUNCTIONS = one_fault("this engine knows functions only", code="unsupported_value")
_LOGPROBS = "message.output_text.logprobs"

_NAMES = {
    # What errors of the chat completion request call by another name here.
    "messages": "input",
    "response_format": "text.format",
}


class ResponseRequest(ModelRequest, FieldsWithoutEffect):
    """A request for a response."""

    background: Annotated[Any, only(False)] = None  # noqa: FBT003 - the value that is allowed
    context_management: Annotated[Any, only([])] = None
    conversation: Annotated[Any, only()] = None
    include: list[Any] = Field(default_factory=list)
    input: str | list[Any]
    instructions: str | None = None
    max_output_tokens: MaxTokens | None = None
    max_tool_calls: Annotated[Any, only()] = None
    moderation: Annotated[Any, only()] = None
    parallel_tool_calls: bool = True
    previous_response_id: Annotated[Any, only()] = None
    prompt: Annotated[Any, only()] = None
    prompt_cache_options: Any = None
    reasoning: Annotated[Any, only({})] = None
    text: _TextOptions = Field(default_factory=_TextOptions)
    tool_choice: Any = "auto"
    tools: Annotated[list[_FlatTool], _ONLY_FUNCTIONS] = Field(default_factory=list)
    top_logprobs: Any = None
    truncation: Annotated[Any, only("disabled")] = None

    @cached_property
    def chat(self) -> ChatRequest:
        """The same as a chat completion request.

        Raises:
            ApiError: 400; a field is malformed, or asks for what is not supported.
        """
        system = {"role": "system", "content": self.instructions}
        return ChatRequest.read(
            {
                "model": self.model,
                "messages": [system] * bool(self.instructions) + read_input(self.input),
                "logprobs": _LOGPROBS in self.include,
                "max_completion_tokens": self.max_output_tokens,
                "parallel_tool_calls": self.parallel_tool_calls,
                "response_format": _chat_format(self.text.format),
                "temperature": self.temperature,
                "tool_choice": _chat_choice(self.tool_choice),
                "tools": [tool.for_chat() for tool in self.tools],
                "top_logprobs": self.top_logprobs,
                "top_p": self.top_p,
            }
        )

    def echoed(self) -> dict[str, Any]:
        """Return the fields that come back with the response."""
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls,
            "temperature": self.temperature,
            "text": {"format": self.text.format or {"type": "text"}},
            "tool_choice": self.tool_choice,
            "tools": [dict(tool) for tool in self.tools],
            "top_p": self.top_p,
        }


@contextmanager
def errors_renamed() -> Iterator[None]:
    """Let errors about the chat completion request name the fields of this API."""
    try:
        yield
    except ApiError as error:
        param = error.param or ""
        for theirs, ours in _NAMES.items():
            if param.startswith(theirs):
                message = error.message.replace(theirs, ours)
                raise ApiError(error.status, message, code=error.code, param=ours) from error
        raise


def _chat_format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """`{type, name, schema, strict}` is `{type, json_schema: {...}}` in a chat."""
    if not given or given.get("type") != "json_schema":
        return given
    rest = {name: value for name, value in given.items() if name != "type"}
    return {"type": "json_schema", "json_schema": rest}


def _chat_choice(given: Any) -> Any:
    match given:
        case {"type": "function", "name": name}:
            return {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "mode": mode, "tools": [*tools]}:
            allowed = {"mode": mode, "tools": [_chat_choice(tool) for tool in tools]}
            return {"type": "allowed_tools", "allowed_tools": allowed}
    return given
