"""A lower bound on the tokens of a text without the tokenizer, which is slow on megabytes."""

import json
from dataclasses import dataclass
from typing import Any
from unicodedata import is_normalized

_LOSSLESS = frozenset({"Split", "ByteLevel", "Digits"})
"""Pre-tokenizers that drop nothing, unless they are set to remove what they split at."""


@dataclass(frozen=True)
class LeastTokens:
    """Bounds the tokens of texts for one tokenizer.

    `longest` is in bytes, for the vocabulary proper; `added` are added tokens that are longer. With
    `is_nfc`, texts are brought into NFC first, so the bound holds only for texts in NFC.
    """

    longest: int
    added: tuple[str, ...]
    is_nfc: bool

    @classmethod
    def of(cls, tokenizer: Any) -> "LeastTokens | None":
        """Return the bounds of a tokenizer; None if long text may become few tokens.

        Nothing is lost in byte-level BPE (GPT-2, Llama 3, Qwen). Others may drop white space, or
        make one unknown token of any run of characters.
        """
        from tokenizers.pre_tokenizers import ByteLevel  # noqa: PLC0415 - part of an extra

        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        parts = json.loads(backend.to_str())
        normalizer = (parts["normalizer"] or {}).get("type")
        splits = parts["pre_tokenizer"] or {}
        splits = splits.get("pretokenizers", [splits])
        kinds = {each.get("type") for each in splits}
        added = parts["added_tokens"] or []
        names = {each["content"] for each in added}
        own = parts["model"]["vocab"].keys() - names
        if (
            parts["model"].get("type") != "BPE"
            or normalizer not in {None, "NFC"}
            or kinds - _LOSSLESS
            or "ByteLevel" not in kinds
            or not own.issuperset(ByteLevel.alphabet())
            or any(each.get("behavior") == "Removed" for each in splits)
            or any(each["lstrip"] or each["rstrip"] for each in added)
            or not all(is_normalized("NFC", name) for name in names)
            or parts["truncation"]
        ):
            return None
        # A character of a byte-level token stands for one byte.
        longest = max(map(len, own))
        longer = sorted(name for name in names if _bytes(name) > longest)
        return cls(longest, tuple(longer), normalizer == "NFC")

    def is_over(self, text: str, limit: int) -> bool:
        """Return whether a text surely has more tokens, however it is cut into parts.

        A token covers `longest` bytes at most, but for longer added ones, each of which is used
        as often as it occurs at most.
        """
        size, most = _bytes(text), limit * self.longest
        if size <= most or (self.is_nfc and not is_normalized("NFC", text)):
            return False
        extra = sum(text.count(each) * (_bytes(each) - self.longest) for each in self.added)
        return size - extra > most


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
