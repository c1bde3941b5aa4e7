"""Finds tool calls in what a model writes, and takes what is none for text.

Importing this module imports parts of transformers. The parser's inner methods are overridden
here; `tests/local/test_serving.py` has a canary for them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers.utils.chat_parsing import ResponseParser


class LenientParser(ResponseParser):  # type: ignore[misc]  # transformers is not typed
    """A response parser that gives a malformed tool call back as text.

    transformers' own raises ValueError, after which the whole answer is lost: also its text, and
    also for a model that was cut off by its token limit in the middle of a call.

    Args:
        template: The tokenizer's response template.
        prefix: The prompt.
        tools: What may be called, to know the types of arguments; may be empty.
        special: Texts of special tokens, which text must not show.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        *,
        prefix: str,
        tools: list[dict[str, Any]],
        special: Sequence[str],
    ) -> None:
        self._special = special
        self._region_start = 0
        super().__init__(template, prefix, tools=tools)

    def _open_explicit(self, events: list[dict[str, Any]], field: Any, m: Any) -> None:
        self._region_start = m.start()
        super()._open_explicit(events, field, m)

    def _close_current(self, events: list[dict[str, Any]]) -> None:
        known = len(events)
        try:
            super()._close_current(events)
        except (KeyError, TypeError, ValueError):
            self._reset_to_implicit()
        else:
            if all(_is_sound(event) for event in events[known:]):
                return
        del events[known:]
        raw = self._buffer[self._region_start : self._pos]
        for token in self._special:
            raw = raw.replace(token, "")
        events.append({"type": "region_chunk", "field": "content", "text": raw, "dirty": False})


def _is_sound(event: Mapping[str, Any]) -> bool:
    if event["type"] != "region_close" or event["field"] != "tool_calls":
        return True
    value = event["value"]
    function = value.get("function") if isinstance(value, dict) else None
    return (
        isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), dict)
    )
