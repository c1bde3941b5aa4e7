"""The usual shape of a run, as types: what LangChain's tracer for Python writes today.

`decode` reads a run of this shape and of no other. The types name every field that a reader of
`run.py` looks at, and allow only the values that `traced_line` knows what to do with: a value of
any other type is a `msgspec.ValidationError`. Fields that nobody reads are passed over at the
parser's speed, which is what makes this quick; their JSON is still checked.

Limits of the parsers differ in such fields only: orjson refuses a line for a number beyond all
floats (`1e999`) or for more than 1024 levels, msgspec passes over the number, and over what
Python's own limit on recursion allows.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# Such a field must be missing: no JSON is of this type.
_Missing = UnsetType

NOT_SAID = Raw(b"null")
"""Stands for a field of any type that is missing."""

_Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A number that every parser reads as the same integer."""

_Scalar = str | _Int | float | bool | None
_Flat = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Nested = _Scalar | list[_Flat] | dict[str, _Flat]
_Value = _Scalar | list[_Nested] | dict[str, _Nested]


class _Data(Struct, gc=False, kw_only=True):
    """A JSON object that is what it seems: none of LangChain's escapes (see `data.unescaped`)."""

    lc: _Missing = UNSET
    escaped: _Missing = msgspec.field(default=UNSET, name="__lc_escaped__")


class _Additional(Struct, gc=False, forbid_unknown_fields=True):
    """`additional_kwargs` that say nothing."""

    refusal: None = None


class TracedCall(_Data, gc=False, kw_only=True):
    """A tool call as LangChain parsed it; `args` of few levels."""

    id: str
    name: str
    args: dict[str, _Value]


class TracedFields(_Data, gc=False, kw_only=True):
    """What a message says: text, and an assistant's calls."""

    content: str
    additional_kwargs: _Additional | None = None
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
    """A call as it was streamed: `args` is the text that the model wrote."""

    id: str | None = None
    args: str | None = None


class _Metadata(_Data, gc=False):
    object: None = None  # `response` tells the Responses API.


class AnswerFields(TracedFields, gc=False, kw_only=True):
    """What the answer says."""

    id: str | None = None
    tool_call_chunks: tuple[CallText, ...] = ()
    response_metadata: _Metadata | None = None


class Answer(Struct, gc=False):
    """The message that came back."""

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


class _Outputs(_Data, gc=False, kw_only=True):
    generations: tuple[tuple[_Generation]]


class _Inputs(_Data, gc=False, kw_only=True):
    messages: tuple[Annotated[list[TracedMessage], Meta(min_length=1)]]
    prompts: _Missing = UNSET


class _ToolChoice(_Data, gc=False):
    disable_parallel_tool_use: None = None


class _NoFormat(_Data, gc=False):
    """Request fields that ask for a form of the answer, or hide what was sent: none may be set."""

    functions: None = None
    output_config: None = None
    output_format: None = None
    previous_response_id: None = None
    response_format: None = None
    text: None = None
    text_format: None = None


class Params(_NoFormat, gc=False):
    """The request's fields beside its messages."""

    kind: str | None = msgspec.field(default=None, name="_type")
    model: str | None = None
    model_name: str | None = None
    parallel_tool_calls: bool | UnsetType | None = UNSET
    tool_choice: str | _ToolChoice | UnsetType | None = UNSET
    tools: Raw = NOT_SAID


class Options(_NoFormat, gc=False):
    """Fields on which `Params` are laid: these must not show through."""

    kind: None = msgspec.field(default=None, name="_type")
    model: None = None
    model_name: None = None
    parallel_tool_calls: Raw = NOT_SAID
    tool_choice: Raw = NOT_SAID
    tools: Raw = NOT_SAID


class _Thread(Struct, gc=False):
    """Metadata that says which conversation a run belongs to, see `thread.THREAD_KEYS`."""

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
    """A finished run of one chat with one answer, as a file or LangSmith's API holds it."""

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
"""Read a run of the usual shape; all else is a `msgspec.ValidationError`."""
