"""The step that checks examples and rejects invalid ones."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.checks import CHECKS, OPENAI, Finding, Profile, errors_of
from langchain_finetune.checks.finding import FIXED_WARNINGS
from langchain_finetune.checks.fixes import fix_example
from langchain_finetune.convert.rows import Outcome, Row, line_of
from langchain_finetune.display.text import counted
from langchain_finetune.errors import ConvertError
from langchain_finetune.methods import LineKind
from langchain_finetune.sessions import NOT_LOST, Sessions

_CONTAINED_ELSEWHERE = NOT_LOST | {"duplicate"}
"""Codes of chats that another chat contains."""

_LISTED = 20
"""How many chats the error of strict mode names; all are counted."""


def checked_rows(
    rows: Iterable[Row],
    outcome: Outcome,
    rules: Profile,
    *,
    method: LineKind = "supervised",
    fix: bool = False,
) -> Iterator[Row]:
    """Yield the rows whose examples have no error; record the findings of all.

    With `fix`, supervised lines are fixed where that is safe, and counted as `fixed.<code>`.
    """
    check = CHECKS[method]
    for row in rows:
        if rules.within_openai and OPENAI.name in row.fit_for:
            yield row
            continue
        findings = check(row.example, rules, line=line_of(row))
        if not findings:
            yield row
            continue
        kept = row
        done: list[Finding] = []
        fixable = errors_of(findings) or any(each.code in FIXED_WARNINGS for each in findings)
        if fix and method == "supervised" and fixable:
            example, done, left = fix_example(row.example, findings, rules)
            # An example that stays invalid is reported as it was.
            if errors_of(left):
                done = []
            else:
                kept, findings = row.changed(example), left
        for finding in done:
            outcome.counts[f"fixed.{finding.code}"] += 1
            outcome.add(replace(finding, fixed=True), row)
        for finding in findings:
            outcome.add(finding, row)
        if errors := errors_of(findings):
            outcome.reject_for(errors[0], row)
        else:
            yield kept


def strict_rows(
    rows: Iterable[Row], outcome: Outcome, sessions: Iterable[ChatSession]
) -> Iterator[Row]:
    """Yield the rows, and then fail if the loader or the conversion left out a chat.

    Raises:
        ConvertError: Chats were left out. Folded ones and duplicates do not count: another chat
            contains them.
    """
    yield from rows
    skipped = sessions.skipped if isinstance(sessions, Sessions) else []
    lost = [skip for skip in (*skipped, *outcome.rejected) if skip.code not in _CONTAINED_ELSEWHERE]
    if lost:
        counts = Counter(skip.code for skip in lost).most_common()
        reasons = ", ".join(f"{count} {code}" for code, count in counts)
        listed = [f"- {skip.id}: {skip.reason} ({skip.code})" for skip in lost[:_LISTED]]
        if len(lost) > _LISTED:
            listed.append(f"- and {len(lost) - _LISTED} more")
        make = "makes" if len(lost) == 1 else "make"
        first = f"{counted(len(lost), 'chat')} {make} no training example ({reasons})."
        advice = "Fix them, exclude them from the selection, or set strict=False."
        raise ConvertError("\n".join([first, *listed, advice]), rejected=lost)
