"""Where the chat stands in a run's JSON. Pure functions; any value may have any shape.

Shapes: LangChain's tracer (`inputs.messages = [[message, ...]]`, `outputs.generations`, flat in
2023), OpenAI's chat form as `wrap_openai` and `@traceable` write it, and the items of OpenAI's
Responses API (`inputs.input`, `inputs.instructions`, `outputs.output`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_SETTINGS = ("tools", "functions", "parallel_tool_calls", "response_format")


@dataclass(frozen=True)
class TracedChat:
    """What was sent to a model and what came back, as it is stored.

    Attributes:
        sent: The messages of the request.
        answers: The messages that came back; several where several were asked for.
        params: The request's other fields.
        metadata: The run's metadata.
        by_langchain: Whether LangChain's tracer wrote it.
        alone: Whether the run holds no other chat.
        items: Whether its messages are items of the Responses API.
    """

    sent: list[Any]
    answers: list[Any]
    params: Mapping[str, Any]
    metadata: Mapping[str, Any]
    by_langchain: bool = False
    alone: bool = True
    items: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What the request said beside its messages, such as `tools`."""
        return {
            name: self.params[name] for name in _SETTINGS if self.params.get(name) not in (None, [])
        }


def traced_chat(row: Mapping[str, Any]) -> TracedChat | None:
    """Return the chat of a run, or None where it holds none.

    Args:
        row: The run's row, with `inputs`, `outputs` and `extra` as JSON.
    """
    inputs, outputs, extra = (field_of(row, name) for name in ("inputs", "outputs", "extra"))
    options = mapping(extra.get("options"))
    params = {**options, **mapping(extra.get("invocation_params"))}
    metadata = mapping(extra.get("metadata"))
    if "generations" in outputs:
        sent = _first(inputs.get("messages"))
        generations = _first(outputs.get("generations"))
        answers = [mapping(each).get("message") for each in generations]
        if not sent or None in answers:
            return None
        alone = _is_one(inputs.get("messages")) and _is_one(outputs.get("generations"))
        return TracedChat(sent, answers, params, metadata, by_langchain=True, alone=alone)
    if "input" in inputs and _is_items(outputs.get("output")):
        sent = _asked_by_items(inputs)
        return TracedChat(sent, outputs["output"], {**params, **inputs}, metadata, items=True)
    sent = _first(inputs.get("messages") or inputs.get("input"))
    if not all(isinstance(each, dict) and ("role" in each or "type" in each) for each in sent):
        return None
    if inputs.get("system"):
        sent = [{"role": "system", "content": inputs["system"]}, *sent]
    if not sent:
        return None
    alone = _is_one(inputs.get("messages") or inputs.get("input"))
    answers = _answers(outputs, sent)
    return TracedChat(sent, answers, {**params, **inputs}, metadata, alone=alone)


def field_of(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a column of JSON, parsed; `{}` where it is empty or no object."""
    return mapping(orjson.loads(row.get(name) or "{}"))


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one where the value is none."""
    return value if isinstance(value, Mapping) else {}


def _is_items(output: Any) -> bool:
    return (
        isinstance(output, list)
        and bool(output)
        and all("type" in mapping(item) for item in output)
    )


def _asked_by_items(inputs: Mapping[str, Any]) -> list[Any]:
    asked, instructions = inputs["input"], inputs.get("instructions")
    system = [{"role": "system", "content": instructions}] if instructions else []
    return [*system, *(asked if isinstance(asked, list) else [{"role": "user", "content": asked}])]


def _first(batch: Any) -> list[Any]:
    """Return the first list of a batch; a flat list is a batch of one."""
    rows = batch if isinstance(batch, list) else []
    return rows[0] if rows and isinstance(rows[0], list) else rows


def _is_one(batch: Any) -> bool:
    if not isinstance(batch, list):
        return False
    return len(batch) == 1 or (bool(batch) and not any(isinstance(row, list) for row in batch))


def _answers(outputs: Mapping[str, Any], sent: list[Any]) -> list[Any]:
    choices = outputs.get("choices")
    if isinstance(choices, list):
        return [mapping(choice).get("message") for choice in choices]
    if "role" in outputs:
        return [outputs]
    answer = outputs.get("message") or outputs.get("messages") or outputs.get("output")
    if isinstance(answer, str):
        return [{"role": "assistant", "content": answer}]
    if isinstance(answer, Mapping):
        return [answer]
    answers = answer if isinstance(answer, list) else []
    if answers[: len(sent)] == sent:
        answers = answers[len(sent) :]
    return answers
