"""Formatting of a report's numbers."""

from langchain_finetune.convert.estimate import Estimate
from langchain_finetune.convert.report.figures import ReportFigures
from langchain_finetune.convert.report.remedies import meaning_of_note, remedy
from langchain_finetune.display.text import dollars, short

_MINUTE, _HOUR = 60, 3600


def money(made: Estimate) -> str:
    """Return the cost of a training."""
    return dollars(made.usd)


def duration(made: Estimate) -> str:
    """Return the approximate duration of a training."""
    seconds = made.seconds
    if seconds is None:
        return "unknown"
    if seconds < 2 * _MINUTE:
        return f"{max(1, seconds):.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:,.1f} h"


def estimate_row(made: Estimate) -> tuple[str, ...]:
    """Return an estimate's engine and base, cost, time, epochs and trained tokens."""
    figures = (money(made), duration(made), str(made.n_epochs), short(made.trained_tokens))
    return (made.engine, made.model, *figures)


def words(code: str) -> str:
    """Return a code such as `no_final_answer` as words."""
    return code.replace("_", " ")


def left_out(report: ReportFigures) -> list[tuple[str, int, str]]:
    """Return the reasons why chats were left out: what, how many, and what that means."""
    return [
        (f"left out: {words(code)}", count, _sentences(report.meanings.get(code), remedy(code)))
        for code, count in report.skipped.items()
    ]


def noted(report: ReportFigures) -> list[tuple[str, int, str]]:
    """Return the notes, and the warnings of the checks: what, how many, and what that means."""
    rows = [(words(code), count, meaning_of_note(code)) for code, count in report.notes.items()]
    for code, count in report.findings.warnings.items():
        mended = remedy(code, of_warning=True)
        meaning = _sentences(report.meanings.get(code), mended)
        rows.append((f"warning: {words(code)}", count, meaning))
    return rows


def _sentences(*found: str | None) -> str:
    return " ".join(each for each in found if each)


def remarks(report: ReportFigures) -> list[str]:
    """Return sentences about what the test part can show, and what is trained more than once."""
    found = [f"The test part has {report.evaluation}."] if report.evaluation else []
    if report.repeated_calls:
        found.append(
            f"{report.repeated_calls:,} of the {report.calls_to_learn:,} answers that call a tool"
            " are trained more than once, since agents send their history again: calls='last' of"
            " the loader (--last-calls) leaves out calls that another one contains."
        )
    return found


def footnotes(estimates: list[Estimate], tokens_counted: float) -> list[str]:
    """Return explanations of the figures."""
    notes = []
    if tokens_counted:
        base = estimates[0].model
        notes.append(f"Tokens are counted with the tokenizer of {base}; other bases differ.")
    if tokens_counted < 1:
        rest = "Tokens" if tokens_counted == 0 else f"Tokens of {1 - tokens_counted:.1%} of them"
        notes.append(f"{rest} are estimated as a quarter of an example's bytes.")
    epochs = dict.fromkeys(each.epochs_basis for each in estimates)
    notes.append(f"Epochs: {'; '.join(epochs)}.")
    prices = dict.fromkeys(
        f"{each.price.source}, {each.price.as_of}" if each.price.as_of else each.price.source
        for each in estimates
        if each.price
    )
    notes.append(f"Costs are for training only. Prices: {'; '.join(prices)}.")
    speeds = dict.fromkeys(each.seconds_basis for each in estimates if each.seconds is not None)
    if speeds:
        notes.append(f"Times are estimates: {'; '.join(speeds)}. Hosted engines publish none.")
    return notes
