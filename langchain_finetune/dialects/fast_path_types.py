"""Types of the fast path: a run as LangChain's tracer for Python writes it today.

`decode` reads a run of this format only. The types name every field that the readers of `run.py`
use, and allow only the values that `traced_line` supports: a value of any other type is a
`msgspec.ValidationError`. Other fields are skipped at the parser's speed, which is what makes this
fast; their JSON is still validated.

The parsers' limits differ in skipped fields only: orjson rejects a line with a number beyond all
floats (`1e999`) or with more than 1024 levels; msgspec skips the number, and as many levels as
Python's recursion limit allows.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# Such a field must be missing: no JSON value has this type.
_Missing = UnsetType

ABSENT = Raw(b"null")
"""Default of a field of any type."""

_Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A number that all parsers read as the same integer."""

_Scalar = str | _Int | float | bool | None
_Flat = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Nested = _Scalar | list[_Flat] | dict[str, _Flat]
_Value = _Scalar | list[_Nested] | dict[str, _Nested]


class _Data(Struct, gc=False, kw_only=True):
    """A JSON object without LangChain's escapes (see `untrusted.unescaped`)."""

    lc: _Missing = UNSET
    escaped: _Missing = msgspec.field(default=UNSET, name="__lc_escaped__")


class _Additional(Struct, gc=False, forbid_unknown_fields=True):
    """`additional_kwargs` without content."""

    refusal: None = None


_Whole = Literal[
    "stop", "STOP", "tool_calls", "function_call", "end_turn", "tool_use", "stop_sequence"
]


class _Finish(_Data, gc=False, kw_only=True):
    """Fields that say why a model stopped, see `finish_reasons`: the message must be whole."""

    finish_reason: _Whole | None = None
    stop_reason: _Whole | None = None
    status: Literal["completed"] | None = None
    camel_finish_reason: None = msgspec.field(default=None, name="finishReason")
    camel_stop_reason: None = msgspec.field(default=None, name="stopReason")
    done_reason: None = None
    finish_reasons: None = None
    incomplete_details: None = None
    camel_details: None = msgspec.field(default=None, name="incompleteDetails")


class TracedCall(_Data, gc=False, kw_only=True):
    """A tool call as LangChain parsed it, with `args` of few levels."""

    id: str
    name: str
    args: dict[str, _Value]


class TracedFields(_Data, gc=False, kw_only=True):
    """Fields of a message: text, and an assistant's calls."""

    content: str
    additional_kwargs: _Additional | None = None
    response_metadata: _Finish | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[TracedCall, ...] = ()
    invalid_tool_calls: tuple[()] = ()


class TracedMessage(Struct, gc=False):
    """A message that was sent."""

    lc: int
    type: Literal["constructor"]
    id: tuple[
        Literal["langchain"],
        Literal["schema"],
        Literal["messages"],
        Literal["AIMessage", "AIMessageChunk", "HumanMessage", "SystemMessage", "ToolMessage"],
    ]
    kwargs: TracedFields


class CallText(_Data, gc=False):
    """A streamed call: `args` is the text that the model wrote."""

    id: str | None = None
    args: str | None = None


class _Metadata(_Finish, gc=False, kw_only=True):
    object: None = None  # `response` for the Responses API.


class AnswerFields(TracedFields, gc=False, kw_only=True):
    """Fields of the answer."""

    id: str | None = None
    tool_call_chunks: tuple[CallText, ...] = ()
    response_metadata: _Metadata | None = None


class Answer(Struct, gc=False):
    """The answer."""

    lc: int
    type: Literal["constructor"]
    id: tuple[
        Literal["langchain"],
        Literal["schema"],
        Literal["messages"],
        Literal["AIMessage", "AIMessageChunk"],
    ]
    kwargs: AnswerFields


class _Generation(_Data, gc=False, kw_only=True):
    message: Answer
    generation_info: _Finish | None = None
    camel_info: _Missing = msgspec.field(default=UNSET, name="generationInfo")


class _Outputs(_Data, gc=False, kw_only=True):
    generations: tuple[tuple[_Generation]]


class _Inputs(Struct, gc=False, forbid_unknown_fields=True):
    messages: tuple[Annotated[list[TracedMessage], Meta(min_length=1)]]


class _ToolChoice(_Data, gc=False):
    disable_parallel_tool_use: None = None


class _NoFormat(_Data, gc=False):
    """Request fields that set a response format or refer to hidden messages: none may be set."""

    functions: None = None
    output_config: None = None
    output_format: None = None
    previous_response_id: None = None
    response_format: None = None
    text: None = None
    text_format: None = None


class _Nothing(Struct, gc=False, forbid_unknown_fields=True):
    """An object without content."""


class _Harmless(_NoFormat, gc=False):
    """Usual settings that no example contains, see `request_settings`; they may be anything."""

    azure_deployment: Raw = ABSENT
    default_request_timeout: Raw = ABSENT
    deployment_name: Raw = ABSENT
    frequency_penalty: Raw = ABSENT
    include: Raw = ABSENT
    logit_bias: Raw = ABSENT
    logprobs: Raw = ABSENT
    ls_structured_output_format: Raw = ABSENT
    max_completion_tokens: Raw = ABSENT
    max_output_tokens: Raw = ABSENT
    max_retries: Raw = ABSENT
    max_tokens: Raw = ABSENT
    model_kwargs: _Nothing | None = None
    n: Raw = ABSENT
    presence_penalty: Raw = ABSENT
    reasoning: Raw = ABSENT
    reasoning_effort: Raw = ABSENT
    request_timeout: Raw = ABSENT
    seed: Raw = ABSENT
    service_tier: Raw = ABSENT
    stop: Raw = ABSENT
    store: Raw = ABSENT
    stream: Raw = ABSENT
    stream_options: Raw = ABSENT
    stream_usage: Raw = ABSENT
    streaming: Raw = ABSENT
    temperature: Raw = ABSENT
    timeout: Raw = ABSENT
    top_k: Raw = ABSENT
    top_logprobs: Raw = ABSENT
    top_p: Raw = ABSENT
    truncation: Raw = ABSENT
    user: Raw = ABSENT
    verbosity: Raw = ABSENT


class Params(_Harmless, gc=False, forbid_unknown_fields=True):
    """The request's fields other than its messages; `read_run` must read it if it has others."""

    kind: str | None = msgspec.field(default=None, name="_type")
    model: str | None = None
    model_name: str | None = None
    parallel_tool_calls: bool | UnsetType | None = UNSET
    tool_choice: str | _ToolChoice | UnsetType | None = UNSET
    tools: Raw = ABSENT


class Options(_Harmless, gc=False, forbid_unknown_fields=True):
    """Defaults of `Params`; they must not be used."""

    kind: None = msgspec.field(default=None, name="_type")
    model: None = None
    model_name: None = None
    parallel_tool_calls: Raw = ABSENT
    tool_choice: Raw = ABSENT
    tools: Raw = ABSENT


class _Thread(Struct, gc=False):
    """Metadata that names the thread of a run, see `untrusted.THREAD_KEYS`.

    Middleware's own calls have other keys, see `agent_middleware`.
    """

    lc_internal_call: None = None
    lc_source: None = None

    session_id: str | None = None
    thread_id: str | None = None
    conversation_id: str | None = None


class _Extra(Struct, gc=False, kw_only=True):
    invocation_params: Params
    options: Options | None = None
    metadata: _Thread | None = None


class _Object(Struct, gc=False):
    pass


class TracedRun(Struct, gc=False, kw_only=True):
    """A finished run of one chat with one answer, as a file or LangSmith's API has it."""

    id: Annotated[str, Meta(min_length=1)]
    trace_id: str | None = None
    thread_id: str | None = None
    run_type: Literal["llm", "LLM"] = "llm"
    status: Literal["success", "SUCCESS"] | None = None
    error: Literal[""] | None = None
    inputs: _Inputs
    outputs: _Outputs
    extra: _Extra
    feedback_stats: _Object | None = None
    preferred_output: _Missing = UNSET


decode = msgspec.json.Decoder(TracedRun).decode
"""Read a run of the common format; all others are a `msgspec.ValidationError`."""

_DECODERS = {
    name: msgspec.json.Decoder(type_).decode
    for name, type_ in (
        ("inputs", _Inputs),
        ("outputs", _Outputs),
        ("extra", _Extra),
        ("feedback_stats", _Object),
    )
}


def decode_columns(fields: Mapping[str, Any]) -> TracedRun:
    """Read a run like `decode`, of which some fields are JSON of their own; None is no JSON."""
    read = {
        name: decode_field(value)
        if (decode_field := _DECODERS.get(name)) and value is not None
        else value
        for name, value in fields.items()
    }
    return msgspec.convert(read, TracedRun)
