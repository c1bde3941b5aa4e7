"""Settings of a request that change how it is answered, in the names of OpenAI's chat API.

Sources: the API references of OpenAI (chat, Responses), Anthropic and Gemini.
"""

import math
from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import mapping

_SAMPLING: dict[str, Any] = {
    **dict.fromkeys(("temperature", "top_p", "presence_penalty", "frequency_penalty"), int | float),
    **dict.fromkeys(("max_output_tokens", "max_completion_tokens", "max_tokens"), int),
    "logit_bias": Mapping,
    "reasoning_effort": str,
    "stop": str | list,
    "verbosity": str,
}
_RENAMED = {"max_output_tokens": "max_completion_tokens"}


def read_sampling(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a request that change how it is answered, in the chat API's names.

    Names are those of OpenAI's chat and Responses APIs; values of another type are left out.

    Example:
        >>> read_sampling({"temperature": 0.2, "max_output_tokens": 50, "top_p": None, "n": 3})
        {'temperature': 0.2, 'max_completion_tokens': 50}
    """
    found = {
        _RENAMED.get(name, name): params[name]
        for name, types in _SAMPLING.items()
        if isinstance(params.get(name), types) and _is_plain(params[name])
    }
    if choice := _tool_choice(params.get("tool_choice")):
        found["tool_choice"] = choice
    return found


def _tool_choice(given: Any) -> Any:
    """Return OpenAI's or Anthropic's choice of tools in the chat API's form, or None."""
    chosen = mapping(given)
    kind = chosen.get("type") if chosen else given
    name = mapping(chosen.get("function") or chosen).get("name")
    if kind in ("function", "tool") and isinstance(name, str):
        return {"type": "function", "function": {"name": name}}
    return {"any": "required", **{each: each for each in ("auto", "none", "required")}}.get(
        kind if isinstance(kind, str) else ""
    )


def _is_plain(value: Any) -> bool:
    """Return whether a value is a finite number, text, or a list or dict of these."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) for name in value) and _is_plain(list(value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)
