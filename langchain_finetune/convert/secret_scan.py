r"""Tells in microseconds that a line of JSON can hold no secret, without parsing it.

Rules that find secrets in a text are turned into patterns that match wherever the text stands in
a line of a training file. RE2 looks for all of them in one pass over the bytes. What it finds may
be nothing; what it does not find is not there.

A character of a text stands in the line as itself, but for quotes, backslashes and control
characters: those are escaped (`\"`, `\\`, `\n`), and twice within the arguments of a call, which
are JSON in JSON. There a model may also have escaped what needs none (`\/`, `\u0041`).
"""

import re
from collections.abc import Callable, Iterable

import re2

_TOOLS = b',"tools":['
_TOOLS_KEPT = 32
"""How many lists of tools are remembered; an app has few."""

_UNCLEAR = (
    r"\\u(?:00[0-7]|01[37]|21)",  # An escape that may be ASCII, or a letter of `_FOLDED`.
    r"\\\\/",
)
_FOLDED = r"\xe2\x84\xaa|\xc5\xbf|\xc4[\xb0\xb1]"
"""The Kelvin sign, the long s, and the Turkish i's in UTF-8: Python takes them for k, s and i."""

_OTHER = r"[\x80-\xff]+|(?:\\+u[0-9A-Fa-f]{4})+"
"""Characters that are not ASCII, or the escapes that say one: two for a rare one."""

_TOKEN = re.compile(
    r"""
    (?P<nothing> \\b | \(\?![^()]*\) )          # Without these, a pattern matches only more often.
    | (?P<space> \\s )
    | (?P<digit> \\d )
    | (?P<quote> \["'\] )
    | (?P<same> \[\\s\\S\]
        | \[ [A-Za-z0-9_.:=~+/ -]+ \]
        | \[\^ (?:\\s|[@:/&;"'])+ \]            # No backslash nor letter: those stand in escapes.
        | \(\?: | \((?!\?) | [A-Za-z0-9_\-=:/@~ )|?*+] | \\[.-] | \{\d+(?:,\d*)?\}
      )
    """,
    re.VERBOSE,
)
_IN_LINE = {
    "nothing": "",
    "space": rf"(?:\s|\\+[nrtfb]|{_OTHER})",
    "digit": rf"(?:\d|{_OTHER})",
    "quote": r"""(?:\\*["'])""",
}
_CASE = {int(re.UNICODE): "", int(re.UNICODE | re.IGNORECASE): "i"}


def in_line(rule: re.Pattern[str]) -> str | None:
    r"""Return a pattern of RE2 for the bytes of a line that may hold what a rule finds.

    Args:
        rule: Finds something in a text.

    Returns:
        The pattern, or None where the rule has a construct of which it is not certain how its
        matches stand in a line.

    Example:
        >>> in_line(re.compile(r"\bkey-[0-9]{8,}\b"))
        '(?:key-[0-9]{8,})'
        >>> in_line(re.compile("^key")) is None
        True
    """
    pieces, place = [], 0
    while place < len(rule.pattern):
        found = _TOKEN.match(rule.pattern, place)
        if found is None or found.lastgroup is None:
            return None
        pieces.append(_IN_LINE.get(found.lastgroup, found[0]))
        place = found.end()
    case = _CASE.get(rule.flags)
    return None if case is None else f"(?{case}:{''.join(pieces)})"


def line_scan(rules: Iterable[re.Pattern[str]]) -> Callable[[bytes], bool]:
    """Return a function that tells whether a line may hold what one of the rules finds.

    It says so of every line where a rule is of an unknown kind.
    """
    patterns = [in_line(rule) for rule in rules]
    if None in patterns:
        return lambda _: True
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    options.log_errors = False
    both = "|".join([*(each for each in patterns if each), *_UNCLEAR, _FOLDED])
    try:
        search = re2.compile(both.encode(), options).search
    except re2.error:
        return lambda _: True
    known: dict[int, tuple[bytes, bool]] = {}

    def may_hold(line: bytes) -> bool:
        # Most rows have the same tools. A quote after a comma is none of a text's own, so no text
        # is cut; whatever follows the tools is looked at with them.
        end = line.rfind(_TOOLS)
        if end < 0:
            return search(line) is not None
        tools = line[end:]
        # Found by their length: to hash them would take longer than to compare them.
        known_tools = known.get(len(tools))
        if known_tools is None or known_tools[0] != tools:
            if len(known) >= _TOOLS_KEPT:
                known.clear()
            known_tools = known[len(tools)] = tools, search(tools) is not None
        return known_tools[1] or search(line[:end]) is not None

    return may_hold
