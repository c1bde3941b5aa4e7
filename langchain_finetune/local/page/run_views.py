"""Runs as the pages show them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.local.page.feedback import CORRECTION_KEY, SCORE_KEY, own_vote
from langchain_finetune.local.page.messages import ShownMessage, as_json, read_message
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_queries import v1_query
from langchain_finetune.local.store.runs import FoundRun
from langchain_finetune.sessions import SETTINGS, Skip, wire_messages

_NO_ANSWER = {
    "error": None,
    "status": "success",
    "outputs": {"role": "assistant", "content": ""},
}
"""Stands for the answer of a run that has none, so that what it asked can be read."""


@dataclass(frozen=True)
class RunChat:
    """What was sent to a model and what came back.

    Attributes:
        sent: The messages of the request.
        answers: The messages that came back; several where several were asked for.
        settings: What the request said beside its messages, such as `tools`.
        skipped: Why loaders skip the run; None where they read it.
    """

    sent: list[ShownMessage] = field(default_factory=list)
    answers: list[ShownMessage] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    skipped: Skip | None = None


def run_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's JSON as the loaders read it.

    Args:
        row: The run's row, with `inputs`, `outputs` and `extra` as JSON.
    """
    told = {name: row.get(name) for name in ("id", "trace_id", "run_type", "status", "error")}
    return told | {name: field_of(row, name) for name in ("inputs", "outputs", "extra")}


def run_chat(row: Mapping[str, Any]) -> RunChat:
    """Return the chat of a run of any type, which is empty where it holds none."""
    run = run_of(row)
    skips: list[Skip] = []
    sessions = list(readable(row["id"], partial(read_run, run, "keep"), skips.append))
    if not sessions:
        return _looked_for(run, skips[0])
    *sent, answer = wire_messages(sessions[0])
    answers = [answer]
    for session in sessions[1:]:
        *asked, answer = wire_messages(session)
        # Runs of 2023 can hold several chats; the first one is shown.
        if asked == sent:
            answers.append(answer)
    settings = {name: value for name, value in sessions[0].items() if name in SETTINGS}
    return RunChat(list(map(read_message, sent)), list(map(read_message, answers)), settings)


def without_answer(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run that failed or has not ended as one whose request the loaders read."""
    return {**run, **_NO_ANSWER}


def field_of(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a column of JSON, parsed; `{}` where it is empty or no object."""
    return mapping(orjson.loads(row.get(name) or "{}"))


def _looked_for(run: Mapping[str, Any], skipped: Skip) -> RunChat:
    inputs, outputs = run["inputs"], run["outputs"]
    sent = _messages(inputs)
    if system := inputs.get("system") or inputs.get("instructions"):
        sent = [{"role": "system", "content": system}, *sent]
    generations = _first(outputs.get("generations"))
    choices = entries(outputs.get("choices"))
    answers = [mapping(each).get("message") for each in generations or choices]
    if not answers:
        answers = [outputs] if "role" in outputs else _messages(outputs)
    if answers[: len(sent)] == sent:
        answers = answers[len(sent) :]
    if not sent:
        return RunChat(skipped=skipped)
    params = {**mapping(run["extra"].get("invocation_params")), **inputs}
    settings = {name: params[name] for name in SETTINGS if params.get(name) not in (None, [])}
    asked, told = (list(map(read_message, each)) for each in (sent, answers))
    return RunChat(asked, told, settings, skipped)


def _messages(fields: Mapping[str, Any]) -> list[Any]:
    """Return the messages among inputs or outputs, as they are stored."""
    found = fields.get("messages") or fields.get("message") or fields.get("input")
    found = found or fields.get("output")
    listed = [found] if isinstance(found, Mapping) else _first(found)
    is_chat = all(
        isinstance(each, Mapping) and ("role" in each or "type" in each) for each in listed
    )
    return listed if is_chat else []


def _first(batch: Any) -> list[Any]:
    """Return the first list of a batch; a flat list is a batch of one."""
    rows = entries(batch)
    return rows[0] if rows and isinstance(rows[0], list) else rows


RunRow = Mapping[str, Any]

_SIDE_BY_SIDE = 100
"""Calls of one trace that are looked at."""


@dataclass(frozen=True)
class Said:
    """What feedback of one key says, and how it is coloured: `good`, `bad` or `plain`."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class RunLine:
    """A run in a list.

    Attributes:
        row: The run's row.
        model: The model, or the models of its trace.
        question: What was asked, in short.
        answer: What came back, or the error.
        tokens: All tokens of its calls, or None where nothing says.
        said: What feedback says.
        vote: What this page's buttons said of it: `like`, `dislike` or "".
    """

    row: RunRow
    model: str
    question: str
    answer: str
    tokens: int | None
    said: list[Said]
    vote: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took, or None where it has not ended."""
        return seconds_of(self.row)


def run_lines(store: RunStore, found: Iterable[FoundRun]) -> list[RunLine]:
    """Return runs as a list shows them."""
    runs = list(found)
    votes = own_votes(store, [run.row["id"] for run in runs])
    return [_line(store, run, votes.get(run.row["id"], "")) for run in runs]


def own_votes(store: RunStore, run_ids: Sequence[str]) -> dict[str, str]:
    """Return what this page's buttons said, by run."""
    if not run_ids:
        return {}
    feedback = store.feedback.all(run_ids=run_ids, keys=[SCORE_KEY], limit=-1)
    return {each["run_id"]: vote for each in feedback if (vote := own_vote(each))}


def model_calls(store: RunStore, row: RunRow, *, whole: bool = False) -> list[FoundRun]:
    """Return the calls of models within a run, the newest first.

    Args:
        store: Where they lie.
        row: The run; a call of a model is its own.
        whole: With inputs, outputs and settings.
    """
    fields = ["inputs", "outputs", "extra"] if whole else ["total_tokens"]
    body = {"trace": row["trace_id"], "run_type": "llm", "limit": _SIDE_BY_SIDE, "select": fields}
    found = store.runs.find(v1_query(body)).runs
    if row["parent_run_id"] is None:
        return found
    order = row["dotted_order"]
    return [each for each in found if (each.row["dotted_order"] + ".").startswith(order + ".")]


def trace_runs(store: RunStore, row: RunRow) -> list[tuple[int, FoundRun]]:
    """Return the first runs of a run's trace with their depths, in the order of the tree."""
    body = {"trace": row["trace_id"], "limit": _SIDE_BY_SIDE, "order": "asc", "select": ["id"]}
    found = store.runs.find(v1_query(body)).runs
    found.sort(key=lambda each: str(each.row["dotted_order"]))
    return [(str(each.row["dotted_order"]).count("."), each) for each in found]


def answering_call(store: RunStore, row: RunRow) -> RunRow | None:
    """Return the call of a model that gave a run's answer: itself, or the last one inside."""
    if row["run_type"] == "llm":
        return row
    calls = model_calls(store, row)
    return store.runs.get(calls[0].row["id"]).row if calls else None


def seconds_of(row: RunRow) -> float | None:
    """Return how long a run took, or None where it has not ended."""
    return None if row["end_time"] is None else (row["end_time"] - row["start_time"]) / 1e6


def model_of(row: RunRow) -> str:
    """Return the model that a call went to, or "" where nothing says."""
    return str(field_of(row, "metadata").get("ls_model_name") or "")


def said_of(stats: Mapping[str, Any] | None, vote: str = "") -> list[Said]:
    """Return what a run's `feedback_stats` say.

    Args:
        stats: Counts and means by key.
        vote: What this page's buttons show already.
    """
    said = []
    for key, stat in sorted((stats or {}).items()):
        if vote and key == SCORE_KEY and stat["n"] == 1:
            continue
        score, several = stat["avg"], f" ({stat['n']})" if stat["n"] > 1 else ""
        if key == CORRECTION_KEY:
            said.append(Said("corrected" + several, "good"))
        elif key == SCORE_KEY and score in {0, 1}:
            said.append(
                Said(("liked" if score else "disliked") + several, "good" if score else "bad")
            )
        elif score is not None:
            said.append(Said(f"{key} {score:.3g}{several}"))
        else:
            values = ", ".join(map(str, stat["values"]))
            said.append(Said(f"{key} {values}".strip() + several))
    return said


def gist_of(value: Mapping[str, Any]) -> str:
    """Return inputs or outputs that are no chat, in short.

    Example:
        >>> gist_of({"input": "Hi"}), gist_of({"a": 1, "b": 2})
        ('Hi', '{"a": 1, "b": 2}')
    """
    if not value:
        return ""
    only = next(iter(value.values())) if len(value) == 1 else value
    return only if isinstance(only, str) else json.dumps(only, ensure_ascii=False)


def _line(store: RunStore, run: FoundRun, vote: str) -> RunLine:
    row = run.row
    calls = [run] if row["run_type"] == "llm" else model_calls(store, row)
    counts = [call.row["total_tokens"] for call in calls if call.row["total_tokens"] is not None]
    chat = run_chat(row)
    asked = [message for message in chat.sent if message.role == "user"] or chat.sent
    question = asked[-1].gist if asked else gist_of(field_of(row, "inputs"))
    answer = chat.answers[-1].gist if chat.answers else gist_of(field_of(row, "outputs"))
    models = dict.fromkeys(model_of(call.row) for call in calls)
    return RunLine(
        row,
        ", ".join(name for name in models if name),
        question,
        str(row["error"] or answer),
        sum(counts) if counts else None,
        said_of(run.stats, vote),
        vote,
    )


def pretty(text: str | None) -> str:
    """Return a column of JSON as people read it."""
    return as_json(json.loads(text)) if text else ""


def tags_of(row: RunRow) -> list[str]:
    """Return a run's tags."""
    return [str(tag) for tag in json.loads(row["tags"] or "[]")]


def metadata_of(row: RunRow) -> list[tuple[str, str]]:
    """Return a run's metadata, each value in short."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in sorted(mapping(json.loads(row["metadata"] or "{}")).items())
    ]
