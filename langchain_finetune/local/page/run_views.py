"""Runs as the pages show them: a run's chat, lines of the list, and details of a run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from langchain_finetune.content import entries, mapping
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.display.messages import ShownMessage, read_chat, read_message
from langchain_finetune.display.text import indented_json
from langchain_finetune.display.values import find_asked, find_chat, summary_of, without_chats
from langchain_finetune.local.page.feedback import CORRECTION_KEY, SCORE_KEY, own_vote
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.run_queries import v1_query
from langchain_finetune.local.store.run_serialization import FoundRun
from langchain_finetune.sessions import SETTINGS, Skip, wire_messages

RunRow = Mapping[str, Any]

_VARIABLES = ("LANGSMITH_", "LANGCHAIN_")
"""How the environment variables begin that LangSmith's client copies into each run's metadata."""

_MAX_TRACE_RUNS = 100
"""Maximum number of runs that are read from a trace."""


@dataclass(frozen=True)
class RunChat:
    """The chat of a run: request, answers (one for each choice), and settings such as `tools`.

    `skipped` says why loaders skip the run; None if they can read it.
    """

    sent: list[ShownMessage] = field(default_factory=list)
    answers: list[ShownMessage] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    skipped: Skip | None = None


def run_of(row: RunRow) -> dict[str, Any]:
    """Return a run's JSON in the format of the loaders."""
    run = {name: row.get(name) for name in ("id", "trace_id", "run_type", "status", "error")}
    return run | {name: field_of(row, name) for name in ("inputs", "outputs", "extra")}


def run_chat(row: RunRow) -> RunChat:
    """Return the chat of a run of any type; it is empty if the run has none."""
    run = run_of(row)
    skips: list[Skip] = []
    sessions = list(readable(row["id"], partial(read_run, run, "keep"), skips.append))
    if not sessions:
        return _unreadable_chat(run, skips[0])
    *sent, answer = wire_messages(sessions[0])
    answers = [answer]
    for session in sessions[1:]:
        *request, answer = wire_messages(session)
        # Old runs can contain several chats; only the first one is shown.
        if request == sent:
            answers.append(answer)
    settings = {name: value for name, value in sessions[0].items() if name in SETTINGS}
    return _chat(sent, answers, settings)


def _chat(
    sent: list[Any], answers: list[Any], settings: Mapping[str, Any], skipped: Skip | None = None
) -> RunChat:
    shown = read_chat([*sent, *answers])
    return RunChat(shown[: len(sent)], shown[len(sent) :], settings, skipped)


def with_empty_answer(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run that failed or is pending such that loaders can read its request."""
    answer = {"role": "assistant", "content": ""}
    return {**run, "error": None, "status": "success", "outputs": answer}


def field_of(row: RunRow, name: str) -> Mapping[str, Any]:
    """Return a column of JSON, parsed; `{}` if it is empty or not an object."""
    return mapping(orjson.loads(row.get(name) or "{}"))


def _unreadable_chat(run: Mapping[str, Any], skipped: Skip) -> RunChat:
    """Return what can be recognized as the chat of a run that loaders skip."""
    inputs, outputs = run["inputs"], run["outputs"]
    sent = find_asked(inputs)
    if system := inputs.get("system") or inputs.get("instructions"):
        sent = [{"role": "system", "content": system}, *sent]
    choices = _first(outputs.get("generations")) or entries(outputs.get("choices"))
    answers = [mapping(each).get("message") for each in choices] or find_chat(_made(run))
    roles = [read_message(each).role for each in answers]
    if "user" in roles:
        # A state: the whole conversation, of which the last question is sent and what follows new.
        end = len(roles) - roles[::-1].index("user")
        sent, answers = answers[:end], answers[end:]
    if not sent:
        return _chat([], answers, {}, skipped)
    params = {**mapping(run["extra"].get("invocation_params")), **inputs}
    settings = {name: params[name] for name in SETTINGS if params.get(name) not in (None, [])}
    return _chat(sent, answers, settings, skipped)


def _made(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs of a run without what its inputs hold too: a state goes through it."""
    inputs, outputs = run["inputs"], run["outputs"]
    return {name: each for name, each in outputs.items() if inputs.get(name) != each} or outputs


def _first(batch: Any) -> list[Any]:
    """Return the first list of a batch; a flat list is a batch of one."""
    rows = entries(batch)
    return rows[0] if rows and isinstance(rows[0], list) else rows


@dataclass(frozen=True)
class FeedbackTag:
    """Summary of the feedback of one key, and its color: `good`, `bad` or `plain`."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class RunLine:
    """A run in a list: models it called, summaries of question and answer, and tokens if known.

    `tags` summarize its feedback; `vote` is that of this page: `like`, `dislike` or "".
    """

    row: RunRow
    model: str
    question: str
    answer: str
    tokens: int | None
    tags: list[FeedbackTag]
    vote: str = ""

    @property
    def seconds(self) -> float | None:
        """The duration, or None if the run has not ended."""
        return seconds_of(self.row)


def run_lines(store: RunStore, found: Iterable[FoundRun]) -> list[RunLine]:
    """Return runs as lines of a list."""
    runs = list(found)
    votes = own_votes(store, [run.row["id"] for run in runs])
    traces = [run.row["trace_id"] for run in runs if run.row["run_type"] != "llm"]
    calls = store.runs.model_calls(traces, _MAX_TRACE_RUNS)
    return [
        _line(
            run, _within(run.row, calls.get(run.row["trace_id"], ())), votes.get(run.row["id"], "")
        )
        for run in runs
    ]


def own_votes(store: RunStore, run_ids: Sequence[str]) -> dict[str, str]:
    """Return the votes of this page, by run."""
    if not run_ids:
        return {}
    feedback = store.feedback.all(run_ids=run_ids, keys=[SCORE_KEY], limit=-1)
    return {each["run_id"]: vote for each in feedback if (vote := own_vote(each))}


def model_calls(store: RunStore, row: RunRow) -> list[RunRow]:
    """Return the model calls within a run, newest first; a model call contains itself."""
    found = store.runs.model_calls([row["trace_id"]], _MAX_TRACE_RUNS)
    return _within(row, found[row["trace_id"]])


def _within(row: RunRow, calls: Iterable[RunRow]) -> list[RunRow]:
    """Return those of a trace's model calls that are within one of its runs."""
    if row["run_type"] == "llm":
        return [row]
    if row["parent_run_id"] is None:
        return list(calls)
    order = row["dotted_order"] + "."
    return [each for each in calls if (each["dotted_order"] + ".").startswith(order)]


@dataclass(frozen=True)
class TraceLine:
    """A run in the tree of its trace: its depth, and the seconds until it began and it took."""

    row: RunRow
    depth: int
    begun: float
    seconds: float | None


def trace_runs(store: RunStore, row: RunRow) -> list[TraceLine]:
    """Return the first runs of a run's trace in tree order."""
    body = {"trace": row["trace_id"], "limit": _MAX_TRACE_RUNS, "order": "asc", "select": ["id"]}
    found = [each.row for each in store.runs.find(v1_query(body)).runs]
    found.sort(key=lambda each: str(each["dotted_order"]))
    first = min((each["start_time"] for each in found), default=0)
    return [
        TraceLine(
            each,
            str(each["dotted_order"]).count("."),
            (each["start_time"] - first) / 1e6,
            seconds_of(each),
        )
        for each in found
    ]


def answering_call(store: RunStore, row: RunRow) -> RunRow | None:
    """Return the model call that produced a run's answer: itself, or the last one within it."""
    if row["run_type"] == "llm":
        return row
    calls = model_calls(store, row)
    return store.runs.get(calls[0]["id"]).row if calls else None


def seconds_of(row: RunRow) -> float | None:
    """Return the duration of a run, or None if it has not ended."""
    return None if row["end_time"] is None else (row["end_time"] - row["start_time"]) / 1e6


def model_of(row: RunRow) -> str:
    """Return the model of a model call, or "" if unknown."""
    return str(field_of(row, "metadata").get("ls_model_name") or "")


def feedback_tags(stats: Mapping[str, Any] | None, vote: str = "") -> list[FeedbackTag]:
    """Return summaries of a run's `feedback_stats`, without the vote that its buttons show."""
    tags = []
    for key, stat in sorted((stats or {}).items()):
        if vote and key == SCORE_KEY and stat["n"] == 1:
            continue
        score, count = stat["avg"], f" ({stat['n']})" if stat["n"] > 1 else ""
        if key == CORRECTION_KEY:
            tags.append(FeedbackTag("corrected" + count, "good"))
        elif key == SCORE_KEY and score == 1:
            tags.append(FeedbackTag("liked" + count, "good"))
        elif key == SCORE_KEY and score == 0:
            tags.append(FeedbackTag("disliked" + count, "bad"))
        elif score is not None:
            tags.append(FeedbackTag(f"{key} {score:.3g}{count}"))
        else:
            values = ", ".join(map(str, stat["values"]))
            tags.append(FeedbackTag(f"{key} {values}".strip() + count))
    return tags


def _line(run: FoundRun, calls: Iterable[RunRow], vote: str) -> RunLine:
    row = run.row
    counts = [call["total_tokens"] for call in calls if call["total_tokens"] is not None]
    models = dict.fromkeys(map(model_of, calls))
    chat = run_chat(row)
    questions = [message for message in chat.sent if message.role == "user"] or chat.sent
    answers = [message for message in chat.answers if message.role == "assistant"] or chat.answers
    answer = answers[-1].summary if answers else summary_of(without_chats(_made(run_of(row))))
    return RunLine(
        row,
        ", ".join(name for name in models if name),
        questions[-1].summary if questions else summary_of(field_of(row, "inputs")),
        str(row["error"] or answer),
        sum(counts) if counts else None,
        feedback_tags(run.stats, vote),
        vote,
    )


def pretty(text: str | None) -> str:
    """Return a column of JSON, indented; "" if it is empty."""
    return indented_json(json.loads(text)) if text else ""


def tags_of(row: RunRow) -> list[str]:
    """Return a run's tags."""
    return [str(tag) for tag in json.loads(row["tags"] or "[]")]


def metadata_of(row: RunRow) -> list[tuple[str, str]]:
    """Return a run's metadata as names and texts."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in sorted(field_of(row, "metadata").items())
        if not name.startswith(_VARIABLES)
    ]
