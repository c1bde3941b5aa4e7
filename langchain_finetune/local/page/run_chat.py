"""The chat of a run as the pages show it. Pure functions.

A run is read as the loaders read it. What they skip is shown all the same: its messages are looked
for where runs have them, since people look above all at what failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from langchain_finetune.content import mapping
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import entries, readable
from langchain_finetune.local.page.messages import Message, read_message
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

    sent: list[Message] = field(default_factory=list)
    answers: list[Message] = field(default_factory=list)
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
