"""Cases: from training examples to examples of a LangSmith dataset, and back. Pure.

A case that is made here holds the recorded request as `inputs`, the recorded answer as reference
outputs, and in its metadata the conversation that it belongs to and the recorded tool results.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson
from langsmith.schemas import Example

from langchain_finetune.content import INSTRUCTIONS, entries, mapping
from langchain_finetune.convert.fingerprints import exact_key
from langchain_finetune.convert.rows import Row, conversations, request_of
from langchain_finetune.dialects.chat_example import read_example
from langchain_finetune.errors import CompareError
from langchain_finetune.evaluation.answers import answer_of, parsed_answer, run_of
from langchain_finetune.evaluation.recording import recorded_calls
from langchain_finetune.evaluation.result import RefusedCase
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import UNKNOWN_FORMAT, wire_messages

FORMAT = "langchain_finetune_case"
"""Key of the metadata by which cases of this module are known: `request` or `agent`."""

GROUP = "group"
RECORDED = "recorded_calls"

_SETTINGS = ("tools", "functions", "parallel_tool_calls")
_GROUPS = ("thread_id", "trace_id", "example_id")
_THREADS = (GROUP, "thread_id", "session_id", "conversation_id")
"""Keys of an example's metadata that name its conversation; the last three are LangSmith's."""


def cases_of(rows: Iterable[Row], *, agent: bool) -> list[dict[str, Any]]:
    """Return cases as a dataset holds them: `{"inputs", "reference_outputs", "metadata"}`.

    Args:
        rows: The examples.
        agent: Whether the chain makes several requests: then a case goes from the last message of
            the user to the final answer, and the steps between are not cases of their own.
    """
    found = list(rows)
    if agent:
        found = _whole_runs(found)
    return [_case(row, agent=agent) for row in found]


def content_hash(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return 16 hex digits that are equal for the same cases in the same order."""
    data = orjson.dumps(cases, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(data).hexdigest()[:16]


def groups_of(examples: Iterable[Example]) -> dict[str, str]:
    """Return the independent group of each case, by its id: its conversation, or the case itself.

    Conversations, and cases without one, that consist of the same requests are one group: the
    same question asked 70 times shows no more than one.
    """
    conversation = {str(each.id): _conversation_of(each) for each in examples}
    requests: dict[str, set[str]] = defaultdict(set)
    for each in examples:
        requests[conversation[str(each.id)]].add(_request_of(each))
    first: dict[frozenset[str], str] = {}
    return {
        name: first.setdefault(frozenset(requests[group]), group)
        for name, group in conversation.items()
    }


def repeated_requests(examples: Collection[Example]) -> int:
    """Return the number of cases whose request an earlier one has as well."""
    return len(examples) - len({_request_of(each) for each in examples})


def _conversation_of(example: Example) -> str:
    known = mapping(example.metadata)
    given = (known.get(key) for key in _THREADS)
    return next((str(each) for each in given if each not in (None, "")), str(example.id))


def _request_of(example: Example) -> str:
    """Return what a case asks, without the white space and upper case of its texts."""
    inputs = orjson.dumps(example.inputs, option=orjson.OPT_SORT_KEYS, default=str).decode()
    return re.sub(r"\s|\\[nrt]", "", inputs).casefold()


def without_schema(examples: Sequence[Example]) -> list[RefusedCase]:
    """Refuse the requests that can't be made again as they were, without the app's chain.

    Raises:
        CompareError: There is no other case.
    """
    reason = (
        "The trace has the name of its response format's class, and not the schema: give a chain."
    )
    found = [
        RefusedCase(id=str(each.id), reason=reason)
        for each in examples
        if mapping(each.inputs).get("response_format") == UNKNOWN_FORMAT
    ]
    if found and len(found) == len(examples):
        raise CompareError(
            "The traces of all cases have the name of the response format's class, and not its "
            "schema, so the requests can't be made again. Give Compare your chain (--chain)."
        )
    return found


def training_line(example: Example) -> dict[str, Any] | None:
    """Return a case as a line of a training file, or None if it is not a chat."""
    inputs, outputs = mapping(example.inputs), mapping(example.outputs)
    if FORMAT in mapping(example.metadata):
        wire = mapping(example.metadata).get("recorded_answer") or []
        return {**inputs, "messages": [*inputs["messages"], *wire]}
    try:
        [session] = read_example(inputs, outputs)
    except UnreadableChatError:
        return None
    return {**inputs, "messages": list(wire_messages(session))}


def input_length(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of messages up to the user's last one, which an agent is given."""
    places = [place for place, each in enumerate(messages) if each.get("role") == "user"]
    return places[-1] + 1 if places else len(messages) - 1


def without_instructions(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the messages without the leading system messages, which a chain has itself."""
    first = next(
        (place for place, each in enumerate(messages) if each.get("role") not in INSTRUCTIONS),
        len(messages),
    )
    return list(messages[first:])


def messages_of(row: Row) -> list[dict[str, Any]]:
    """Return a row's request and answer; of a preference, the preferred answer."""
    example = row.example
    if "prompt" in example:
        return [
            {"role": "user", "content": example["prompt"]},
            {"role": "assistant", "content": example.get("completion", "")},
        ]
    return list(conversations(example)[0])


def _case(row: Row, *, agent: bool) -> dict[str, Any]:
    messages = messages_of(row)
    if not messages or messages[-1].get("role") != "assistant":
        raise CompareError(
            f"{row.id} can't be a case: its last message is not the model's answer. Use examples "
            "that Convert made."
        )
    cut = input_length(messages) if agent else len(messages) - 1
    settings = {
        name: value
        for name in _SETTINGS
        if (value := request_of(row.example).get(name)) is not None
    }
    if row.response_format:
        settings["response_format"] = row.response_format
    # In the form of what chains return; see `outputs_of`.
    reference = run_of(without_instructions(messages)) if agent else answer_of(messages[-1])
    one_form = row.response_format or len(entries(settings.get("tools"))) == 1
    if one_form and not agent and (data := parsed_answer(reference)) is not None:
        # As `with_structured_output` returns it.
        reference["parsed"] = data
    group = next((row.source[name] for name in _GROUPS if row.source.get(name)), row.id)
    metadata = {
        FORMAT: "agent" if agent else "request",
        GROUP: group,
        "source": dict(row.source),
        RECORDED: recorded_calls(messages),
        "recorded_answer": messages[cut:],
    }
    inputs = {"messages": messages[:cut], **settings}
    return {"inputs": inputs, "reference_outputs": reference, "metadata": metadata}


def _whole_runs(rows: Sequence[Row]) -> list[Row]:
    """Leave out the rows whose messages are the beginning of another's, up to the same answer."""
    inner: set[bytes] = set()
    for row in rows:
        messages = messages_of(row)
        inner |= {
            exact_key({"messages": messages[: place + 1]})
            for place in range(input_length(messages), len(messages) - 1)
            if entries(messages[place].get("tool_calls")) or messages[place].get("function_call")
        }
    return [row for row in rows if exact_key({"messages": messages_of(row)}) not in inner]
