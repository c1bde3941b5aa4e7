"""Which scripts a text is written in, by the names that Unicode gives its letters."""

import unicodedata
from collections import Counter
from functools import lru_cache

_SCRIPTS = {
    "CJK": "Han",
    "CANADIAN": "Canadian Aboriginal",
    "OLD": "historic",
    "YI": "Yi",
    "NKO": "N'Ko",
}
"""First words of letters' names that are not the script's own name."""

_ASCII_OTHERS = bytes(code for code in range(128) if not chr(code).isalpha())

_NO_SCRIPT = frozenset({"MODIFIER", "FEMININE", "MASCULINE", "DOUBLE-STRUCK", "SCRIPT", "LATINATE"})


def scripts_of(text: str) -> Counter[str]:
    """Return how many letters of each script a text has.

    A script is no language: Latin letters alone may be English or Vietnamese.

    Example:
        >>> scripts_of("Привет, Ada! 你好")
        Counter({'Cyrillic': 6, 'Latin': 3, 'Han': 2})
    """
    found: Counter[str] = Counter()
    if text.isascii():
        # Most text by far, and counted many times as fast.
        letters = len(text.encode().translate(None, _ASCII_OTHERS))
        return Counter({"Latin": letters}) if letters else found
    for letter, count in Counter(text).items():
        script = _script(letter)
        if script:
            found[script] += count
    return found


@lru_cache(maxsize=20_000)
def _script(letter: str) -> str | None:
    """Return a letter's script, or None for what is no letter or has none of its own."""
    if not letter.isalpha():
        return None
    # Full-width and mathematical forms are letters like others.
    plain = unicodedata.normalize("NFKC", letter)[0]
    first = unicodedata.name(plain, "").split(" ")[0]
    if not first or first in _NO_SCRIPT:
        return None
    return _SCRIPTS.get(first, first.capitalize())
