"""Makes a base's chat template take every chat: tools, system messages, users in a row.

A template that takes all this stays as it is. Before others comes a prelude, also a template, which
puts the chat into what they take. It is saved with the model's tokenizer, so that a model is
served, here and elsewhere, as it was trained.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from langchain_finetune.local.templates.answer_form import find_answer_form
from langchain_finetune.local.templates.template_probe import (
    ANSWER,
    adapted,
    calling,
    find_takes,
    offering,
    question,
    raw_render,
    rejections,
)
from langchain_finetune.local.templates.turns import answer_turn

_RULES = "Some-rules"
_RESULT = "Some-result"

PRELUDE_END = "{#- end of the prelude -#}"
"""Stands between the prelude and a base's own chat template."""


def prepare(tokenizer: Any) -> None:
    """Complete a tokenizer's chat template, unless that has been done or there is none."""
    if isinstance(tokenizer.chat_template, dict):
        tokenizer.chat_template = _joined(tokenizer.chat_template)
    own = tokenizer.chat_template
    if not own or PRELUDE_END in own:
        return
    plain = _plain(tokenizer)
    if plain is None:
        return
    calls = _knows_calls(tokenizer)
    flags = {
        "lcft_write_calls": not calls,
        "lcft_list_tools": not (calls and _lists_tools(tokenizer)),
        "lcft_fold_system": not _takes_system(tokenizer),
        "lcft_merge_users": not _takes_users_in_a_row(tokenizer),
    }
    if not any(flags.values()):
        return
    settings = {name: str(on).lower() for name, on in flags.items()}
    settings["lcft_default_system"] = json.dumps(_default_system(tokenizer))
    lines = [f"{{%- set {name} = {value} -%}}" for name, value in settings.items()]
    tokenizer.chat_template = "\n".join([*lines, _prelude() + own])
    if _plain(tokenizer) != plain:
        tokenizer.chat_template = own


@cache
def _prelude() -> str:
    return Path(__file__).with_name("prelude.jinja").read_text().rstrip() + PRELUDE_END


def _joined(named: dict[str, str]) -> str:
    """Return one template for those of a base that has one for chats with tools."""
    default = named.get("default") or next(iter(named.values()))
    if "tool_use" not in named:
        return default
    return f"{{% if tools %}}{named['tool_use']}{{% else %}}{default}{{% endif %}}"


def _shown(tokenizer: Any, messages: list[dict[str, Any]], *tools: str, asks: bool = False) -> str:
    """Return a rendered chat; nothing if the template rejects it."""
    try:
        chat = adapted(messages, find_takes(tokenizer))
        return raw_render(tokenizer)(chat, offering(*tools), asks=asks)
    except rejections():
        return ""


def _plain(tokenizer: Any) -> list[str] | None:
    """Return plain chats as the template writes them; None if it refuses them."""
    answered = {"role": "assistant", "content": ANSWER}
    chats = [[question()], [question(), answered, question()]]
    found = [_shown(tokenizer, chat, asks=True) for chat in chats]
    return found if all(found) else None


def _takes_system(tokenizer: Any) -> bool:
    told = [{"role": "system", "content": _RULES}, question()]
    if _RULES not in _shown(tokenizer, told):
        return False
    # Some show it in the last message only, if that is a user's.
    later = _shown(tokenizer, [*told, *_exchange()], "first_name", asks=True)
    return not later or _RULES in later


def _exchange() -> list[dict[str, Any]]:
    result = {"role": "tool", "tool_call_id": "call_0", "name": "first_name", "content": _RESULT}
    return [calling(("first_name", {"keya": "valuea"})), result]


def _takes_users_in_a_row(tokenizer: Any) -> bool:
    return bool(_shown(tokenizer, [question(), question()]))


def _default_system(tokenizer: Any) -> str:
    """Return what the template tells the model in a chat that does not."""
    told = _shown(tokenizer, [{"role": "system", "content": _RULES}, question()])
    before, _, after = told.partition(_RULES)
    untold = _shown(tokenizer, [question()])
    if not told or not untold.startswith(before) or not untold.endswith(after):
        return ""
    return untold[len(before) : len(untold) - len(after)]


def _lists_tools(tokenizer: Any) -> bool:
    return "first_name" in _shown(tokenizer, [question()], "first_name", asks=True)


def _knows_calls(tokenizer: Any) -> bool:
    """Whether the template shows calls and results, and its calls can be read again."""
    called, result = _exchange()
    form = find_answer_form(tokenizer, [tokenizer.eos_token])
    if form.call is None:
        return False
    chat = [question(), called, result]
    for _ in range(2):
        prompt = _shown(tokenizer, chat, "first_name", asks=True)
        if "valuea" not in prompt or _RESULT not in prompt:
            return False
        # Some templates write a call right only once in a chat.
        chat = [*chat, {"role": "assistant", "content": ANSWER}, question()]
        prompt = _shown(tokenizer, chat, "first_name", asks=True)
        chat = [*chat, called, result]
        whole = _shown(tokenizer, chat[:-1], "first_name")
        if "valuea" not in (answer_turn(prompt, whole, form.anchors) or ""):
            return False
    return True
