"""The tokens of many texts, of which long parts repeat: an app's instructions and tools."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from langchain_finetune.local.training.token_bound import LeastTokens

_LONG, _KEPT = 500, 64
"""Fewest characters of a part that is remembered, and how many parts are."""


@dataclass
class TextTokens:
    """Puts texts into tokens.

    A tokenizer that loses nothing treats what is between two control tokens by itself. So the
    tokens of a long part, such as a system prompt with its tools, are those of its last occurrence.
    `control` is None for any other tokenizer.
    """

    tokenizer: Any
    control: re.Pattern[str] | None
    _known: OrderedDict[str, list[int]] = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, tokenizer: Any, control: re.Pattern[str]) -> "TextTokens":
        """Return what puts texts into tokens with a tokenizer whose control tokens are known."""
        separate = LeastTokens.of(tokenizer) is not None and control.pattern != "(?!)"
        return cls(tokenizer, re.compile(f"({control.pattern})") if separate else None)

    def of_texts(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of each text, all at once: that is faster than one by one."""
        parts = [self._parts(text) for text in texts]
        new = dict.fromkeys(part for each in parts for part in each if part not in self._known)
        found = dict(zip(new, self._encoded(list(new)), strict=True))
        known = self._known | found
        tokens = [[token for part in each for token in known[part]] for each in parts]
        for part, ids in found.items():
            if len(part) >= _LONG and self.control:
                self._known[part] = ids
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        return tokens

    def _parts(self, text: str) -> list[str]:
        """Return a text in parts: long ones by themselves, all between them in one."""
        if self.control is None or len(text) < _LONG:
            return [text] if text else []
        parts = [""]
        for piece in self.control.split(text):
            if len(piece) >= _LONG:
                parts += piece, ""
            else:
                parts[-1] += piece
        return [part for part in parts if part]

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        # The template has put the special tokens into the text.
        if self.control is not None:
            # Without the places of tokens in the text, which nobody reads.
            backend = self.tokenizer.backend_tokenizer
            batch = backend.encode_batch_fast(texts, add_special_tokens=False)
            return [each.ids for each in batch]
        encoded = self.tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return list(encoded["input_ids"])
