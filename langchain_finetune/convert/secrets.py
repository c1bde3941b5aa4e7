"""Detection of API keys and other credentials in examples; only their places are reported.

The patterns are LangSmith's (`langsmith.anonymizer.DEFAULT_SECRET_RULES`): keys by the prefixes of
their providers, tokens of known structure, and values assigned to names such as `password`.

As a fast path, RE2 scans each line for all patterns at once, in linear time, and only lines with a
possible match are searched text by text. This halves the CPU time of `prepare`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import re2
from langsmith.anonymizer import DEFAULT_SECRET_RULES, SECRET_PLACEHOLDER

from langchain_finetune.checks import Finding
from langchain_finetune.convert.rows import Outcome, Row, line_of
from langchain_finetune.convert.texts import change_texts

_TOOLS = b',"tools":['
_TOOLS_KEPT = 32
"""Size of the cache of tool lists; an app has few."""

_UNCLEAR = (
    r"\\u(?:00[0-7]|01[37]|21)",  # An escape of ASCII, or of a letter of `_FOLDED`.
    r"\\\\/",
)
_FOLDED = r"\xe2\x84\xaa|\xc5\xbf|\xc4[\xb0\xb1]"
"""Kelvin sign, long s, and Turkish i's in UTF-8, which Python matches as k, s and i."""

_OTHER = r"[\x80-\xff]+|(?:\\+u[0-9A-Fa-f]{4})+"
"""Characters that are not ASCII, or their escapes (two for a surrogate pair)."""

_TOKEN = re.compile(
    r"""
    (?P<nothing> \\b | \(\?![^()]*\) )          # Without these, a pattern matches more often.
    | (?P<space> \\s )
    | (?P<digit> \\d )
    | (?P<quote> \["'\] )
    | (?P<same> \[\\s\\S\]
        | \[ [A-Za-z0-9_.:=~+/ -]+ \]
        | \[\^ (?:\\s|[@:/&;"'])+ \]            # No backslash or letter, as in escapes.
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
    r"""Return an RE2 pattern that matches the lines of JSON in which a rule may find something.

    Returns None if the rule has a construct that is not supported.

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
    """Return a function that returns whether one of the rules may match in a line.

    It returns True for every line if a rule is not supported.
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

    def may_match(line: bytes) -> bool:
        # Most rows have the same tools. An unescaped quote after a comma is not within a text, so
        # no text is cut; what follows the tools is scanned with them.
        end = line.rfind(_TOOLS)
        if end < 0:
            return search(line) is not None
        tools = line[end:]
        # Keyed by length: hashing the tools would take longer than comparing them.
        known_tools = known.get(len(tools))
        if known_tools is None or known_tools[0] != tools:
            if len(known) >= _TOOLS_KEPT:
                known.clear()
            known_tools = known[len(tools)] = tools, search(tools) is not None
        return known_tools[1] or search(line[:end]) is not None

    return may_match


SecretAction = Literal["report", "reject", "redact"]

_KINDS = {
    "anthropic": ("sk-ant-",),
    "openai": ("sk-",),
    "langsmith": ("lsv2_", "ls__"),
    "github": ("github_pat_", "gh"),
    "gitlab": ("glpat-",),
    "aws": ("a3t", "abia", "acca", "akia", "asia"),
    "google": ("aiza", "ya29."),
    "slack": ("xox", "xapp-", "https://hooks.slack.com/"),
    "stripe": ("sk_", "rk_"),
    "npm": ("npm_",),
    "pypi": ("pypi-",),
    "sendgrid": ("sg.",),
    "jwt": ("eyj",),
    "private_key": ("-----begin",),
    "bearer_token": ("bearer", "authorization"),
}
"""Kinds of secrets with the beginnings of theirs, in lower case; the first match counts."""

_VALUE = r"[\"']?\s*[:=]"
_ASSIGNED = [
    *((word, re.compile(rf"{word}[\w.-]*{_VALUE}")) for word in ("key", "secret", "token", "salt")),
    ("passw", re.compile(rf"passw(?:or)?d[\w.-]*{_VALUE}")),
    ("bearer", re.compile(r"bearer\s")),
    ("authorization", re.compile(rf"authorization{_VALUE}")),
    ("@", re.compile(r":[^@/\s]+@")),
]
"""Without one of these in a lower-case text, no rule that ignores case can match. Those rules are
the slowest, so these patterns are searched first, and before them the words alone, which is
several times as fast."""

_MARKS = (
    ("(?:AKIA|", ("AKIA", "ASIA", "ABIA", "ACCA", "A3T")),
    ("(?:live|test)", ("_live_", "_test_")),
    ("sk-[A-Za-z0-9]", ("sk-",)),
)
"""The same for other slow rules: a part of the rule, and substrings of which a match needs one."""

_RULES = [
    (
        rule["pattern"],
        rule["replace"] or SECRET_PLACEHOLDER,
        next((marks for part, marks in _MARKS if part in rule["pattern"].pattern), ("",)),
    )
    for rule in DEFAULT_SECRET_RULES
]

_line_may_match = line_scan(pattern for pattern, *_ in _RULES)


def masked(text: str) -> tuple[str, list[str]]:
    """Return a text with its secrets masked, and the kinds of those.

    Example:
        >>> masked("It is AKIAIOSFODNN7EXAMPLE.")
        ('It is [SECRET_DETECTED].', ['aws'])
    """
    kinds: list[str] = []
    for pattern, replacement in _possible(text):

        def mask(match: re.Match[str], replacement: str = replacement) -> str:
            if SECRET_PLACEHOLDER in match[0]:
                return match[0]  # Already masked by an earlier rule.
            kinds.append(_kind(match[0]))
            return match.expand(replacement)

        text = pattern.sub(mask, text)
    return text, kinds


def _possible(text: str) -> Iterator[tuple[re.Pattern[str], str]]:
    """Yield the rules that match in a text, with their replacements."""
    lower = text.lower()
    assigned = any(word in lower and pattern.search(lower) for word, pattern in _ASSIGNED)
    for pattern, replacement, marks in _RULES:
        ignores_case = pattern.flags & re.IGNORECASE
        worth_it = assigned if ignores_case else any(mark in text for mark in marks)
        if worth_it and pattern.search(text):
            yield pattern, replacement


def secret_rows(rows: Iterator[Row], outcome: Outcome, action: SecretAction) -> Iterator[Row]:
    """Yield the rows; secrets are reported as findings with the code `secret_<kind>`.

    `secrets.<kind>` counts the messages with a secret. The action `report` warns and changes
    nothing, `redact` replaces the secret by a placeholder, `reject` rejects the example.
    """
    for row in rows:
        line = line_of(row)
        if line is not None and not _line_may_match(line):
            yield row
            continue
        texts: list[str] = []
        change_texts(row.example, lambda text, _, keep=texts: keep.append(text) or text)  # type: ignore[misc]
        # All texts at once: most examples have no secret, and starting a rule is what costs.
        if next(_possible("\n".join(texts)), None) is None:
            yield row
            continue
        found: dict[tuple[int | None, str], None] = {}

        def note(text: str, index: int | None, found: dict[object, None] = found) -> str:  # type: ignore[assignment]
            without, kinds = masked(text)
            found.update(dict.fromkeys((index, kind) for kind in kinds))
            return without

        example = change_texts(row.example, note)
        findings = [
            Finding(
                f"secret_{kind}",
                f"Text contains a possible secret ({kind}).",
                index,
                severity="error" if action == "reject" else "warning",
                fix="Convert(secrets='redact') masks it.",
                fixed=action == "redact",
            )
            for index, kind in found
        ]
        for (_, kind), finding in zip(found, findings, strict=True):
            outcome.counts[f"secrets.{kind}"] += 1
            outcome.add(finding, row)
        if findings and action == "reject":
            outcome.reject_for(findings[0], row)
        else:
            yield row.changed(example) if findings and action == "redact" else row


def _kind(secret: str) -> str:
    lower = secret.lower()
    known = next((kind for kind, starts in _KINDS.items() if lower.startswith(starts)), None)
    return known or ("url_password" if "://" in secret else "assigned")
