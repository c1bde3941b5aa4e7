"""One row of a file: an exported run, also of another store, or a line of a training file.

Sources: LangSmith's documentation of bulk exports (columns `inputs`, `outputs`, `extra`,
`feedback_stats` are JSON strings), the `langsmith` CLI's JSON lines (`run_id`, no `extra`), and
OpenAI's fine-tuning guide (`messages`, `tools`, `functions`, `parallel_tool_calls`; preference
lines have `input`, `preferred_output`, `non_preferred_output`; plain ones `prompt`, `completion`;
`messages` with a `label` are this package's unpaired preferences),
and of stored chat completions (the object, and the list of its messages).
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects import langfuse, mlflow, opik, phoenix
from langchain_finetune.dialects.chat_example import read_line
from langchain_finetune.dialects.completions import read_chats
from langchain_finetune.dialects.messages import ReasoningPolicy
from langchain_finetune.dialects.untrusted import THREAD_KEYS
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import FineTuningSession, wire_messages
from langchain_finetune.tolerant_json import loads

_FORMS = ({"messages"}, {"input", "preferred_output"}, {"prompt", "completion"})


def runs_of(value: Any) -> list[Any]:
    """Return the runs of a trace or an observation of another store, or the value as the only one.

    A run's `feedback_stats` hold the scores of its trace, too.

    Example:
        >>> runs_of({"inputs": {}}), runs_of("no object")
        ([{'inputs': {}}], ['no object'])
    """
    row = mapping(value)
    if "inputs" in row:
        return [value]  # A run of LangSmith, as nearly all are.
    if mlflow.is_trace(row):
        trace = mlflow.read_trace(row)
    elif langfuse.is_observation(row):
        trace = langfuse.read_observation(row)
    elif opik.is_trace(row):
        trace = opik.read_trace(row)
    elif phoenix.is_span(row):
        trace = phoenix.read_span(row)
    else:
        return [value]
    # Something else than a call of a model is counted by its type.
    return list(trace.rated_runs()) or [{"id": row.get("id"), "run_type": "chain", "inputs": None}]


def is_training_line(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a line of a training file instead of a run."""
    if "inputs" in row or is_stored_completion(row):
        return False
    return any(row.keys() >= form for form in _FORMS)


def is_stored_completion(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a chat completion that OpenAI stored, with its messages."""
    return isinstance(row.get("completion"), Mapping) and "messages" in row


def _run_of_completion(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run of `{"completion": ..., "messages": [...]}`, as OpenAI's API gives them."""
    completion = row["completion"]
    messages = [
        {**message, "content": message.get("content_parts") or message.get("content")}
        for message in map(mapping, entries(row["messages"]))
    ]
    return {
        "id": completion.get("id"),
        "run_type": "llm",
        "inputs": {**completion, "messages": messages},
        "outputs": {"choices": completion.get("choices")},
        "extra": {},
    }


def run_of_row(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the run of a row in the shape of LangSmith's API.

    In the row, large fields may be JSON strings, and the id may be called `run_id`; if it has none,
    its place in the file is the id.

    Raises:
        UnreadableChatError: The row is not a run, or one of its fields is not valid JSON.

    Example:
        >>> run_of_row({"run_id": "r-1", "inputs": '{"messages": []}', "outputs": None}, "a:1")
        {'id': 'r-1', 'run_id': 'r-1', 'inputs': {'messages': []}, 'outputs': None}
    """
    if is_stored_completion(row):
        return _run_of_completion(row)
    if "inputs" not in row:
        if "attributes" in row:
            return dict(row)  # A span of OpenTelemetry, with ids of its own.
        raise UnreadableChatError("no_run", "The row is neither a run nor a training example.")
    run = {"id": row.get("id") or row.get("run_id") or place}
    run |= {key: value for key, value in row.items() if key != "id"}
    for field in ("inputs", "outputs", "extra", "feedback_stats"):
        if isinstance(text := run.get(field), str | bytes):
            try:
                run[field] = loads(text) if text else None
            except ValueError as error:
                raise UnreadableChatError(
                    "unreadable_json", f"The run's {field} are not valid JSON."
                ) from error
    return run


def tools_are_unknown(run: Mapping[str, Any]) -> bool:
    """Return whether the field with the tools is missing in a run's file."""
    inputs = run.get("inputs")
    # The wrappers of LangSmith's SDK record the whole request, with model and tools, as inputs.
    whole = not isinstance(inputs, Mapping) or "tools" in inputs or "model" in inputs
    return not whole and run.get("extra") is None


def mean_score(run: Mapping[str, Any], key: str) -> float | None:
    """Return the mean of a run's own scores of a feedback key, or None.

    Example:
        >>> mean_score({"feedback_stats": {"user_score": {"n": 2, "avg": 0.5}}}, "user_score")
        0.5
    """
    average = mapping(mapping(run.get("feedback_stats")).get(key)).get("avg")
    return float(average) if isinstance(average, int | float) else None


def group_of(row: Mapping[str, Any], key: str) -> str | None:
    """Return the value of a row's field, or of its metadata's, that names a group of rows.

    Example:
        >>> group_of({"metadata": {"customer": 7}}, "customer")
        '7'
    """
    inner = mapping(mapping(row.get("extra")).get("metadata"))
    for place in (row, mapping(row.get("metadata")), inner):
        value = place.get(key)
        if isinstance(value, str | int) and value != "" and not isinstance(value, bool):
            return str(value)
    return None


def read_training_line(
    row: Mapping[str, Any], place: str, reasoning: ReasoningPolicy = "drop"
) -> list[FineTuningSession]:
    """Return the chat of a line of a training file.

    The chat of a preference ends with the preferred answer; the other one is its `rejected`. The
    `label` of an unpaired preference is the session's `score`: 1 or 0.
    Fields that name its conversation or group (`thread_id`, `conversation_id`, `session_id`,
    `group`), also in `metadata`, are in its source.

    Raises:
        UnreadableChatError: It contains no chat, or one that the wire form cannot represent.

    Example:
        >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        >>> [session] = read_training_line({"messages": chat}, "a:1")
        >>> session["messages"][1].content, session["source"]
        ('Hello', {'line': 'a:1'})
    """
    if "messages" in row:
        messages = row["messages"]
        if isinstance(messages, list) and len(messages) < 2:  # noqa: PLR2004 - question and answer
            raise UnreadableChatError("no_answer", "The line contains no question with an answer.")
        # The line has in one list what a dataset's example has in two.
        inputs = {**row, "messages": messages[:-1]}
        session = read_line(inputs, messages[-1], reasoning)
        if isinstance(label := row.get("label"), bool):
            session["score"] = float(label)
    elif "prompt" in row:
        [session] = read_chats(
            {"inputs": row, "outputs": {"choices": [{"text": row["completion"]}]}}
        )
    else:
        [[preferred], [rejected]] = row["preferred_output"], row["non_preferred_output"]
        session = read_line(row["input"], preferred, reasoning)
        worse = read_line(row["input"], rejected, reasoning)
        session["rejected"] = wire_messages(worse)[-1]
    source = {**session.get("source", {}), "line": place}
    threads = (group_of(row, key) for key in THREAD_KEYS)
    found = {"thread_id": next(filter(None, threads), None), "group": group_of(row, "group")}
    session["source"] = source | {key: value for key, value in found.items() if value}
    return [session]
