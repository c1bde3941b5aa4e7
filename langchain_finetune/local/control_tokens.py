"""Text that reads like a control token of a model, such as `<|im_end|>`, is never one.

A tokenizer finds its control tokens in any text, so what a user writes could end their turn and
begin one of the system. Which tokens a base has, its tokenizer says. Serving keeps such text as
text (`kept_as_text`); training and conversion refuse it (`place_of_token`).

transformers' own `sanitize_control_tokens` leaves out keys, and returns no text, which the parser
of tool calls needs.
"""

import re
from collections.abc import Callable
from typing import Any

from langchain_finetune.local.chat_template import TemplateInput

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Characters that no text has: Unicode's noncharacters, for use inside a program."""


def control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Return the pattern of all control tokens that a tokenizer finds in text."""
    added = tokenizer.added_tokens_decoder.values()
    found = {str(token) for token in added if token.special} | {*tokenizer.all_special_tokens}
    longest_first = sorted(found - {""}, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def place_of_token(given: TemplateInput, tokens: re.Pattern[str]) -> tuple[str, int | None] | None:
    """Return the first control token in a chat and its message's index; None for the tools."""
    for index, message in enumerate(given.messages):
        if found := _first(message, tokens):
            return found, index
    found = _first(given.tools, tokens)
    return (found, None) if found else None


def kept_as_text(given: TemplateInput, tokens: re.Pattern[str]) -> tuple[TemplateInput, str]:
    """Return a chat whose control tokens are cut apart by a mark, and the mark.

    Rendered and split at the mark, its parts hold no control tokens but the template's own. There
    is no mark if there is nothing to cut, as nearly always.

    Example:
        >>> chat = TemplateInput([{"role": "user", "content": "<s>"}], [])
        >>> kept, mark = kept_as_text(chat, re.compile("<s>"))
        >>> kept.messages[0]["content"].split(mark)
        ['<', 's', '>', '']
    """
    if place_of_token(given, tokens) is None:
        return given, ""
    whole = "".join(_texts([given.messages, given.tools]))
    mark = next(mark for mark in _MARKS if mark not in whole)

    def cut(text: str) -> str:
        # Character by character, so that no other token begins inside of one.
        return tokens.sub(lambda found: mark.join(found[0]) + mark, text)

    return TemplateInput(_mapped(given.messages, cut), _mapped(given.tools, cut)), mark


def _first(value: Any, tokens: re.Pattern[str]) -> str | None:
    return next((found[0] for text in _texts(value) if (found := tokens.search(text))), None)


def _texts(value: Any) -> list[str]:
    """Return every text in a value, keys included, without recursion."""
    texts, left = [], [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            texts.append(each)
        elif isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            left += each
    return texts


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(each, change) for each in value]
    return value
