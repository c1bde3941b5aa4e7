"""`compare`: whether a new model is as good as the old one."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_finetune.cli.comparison_progress import ComparisonProgress
from langchain_finetune.cli.exit_codes import EXIT_CODES, exits_by_verdict
from langchain_finetune.cli.gate_options import GateOptions, gate_options
from langchain_finetune.cli.interrupt import INTERRUPTED
from langchain_finetune.cli.model_options import ModelOptions, model_options
from langchain_finetune.cli.options import build, with_options
from langchain_finetune.cli.output import AsJson, console, print_drawn, print_json, print_line
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.evaluation.case_files import file_cases
from langchain_finetune.evaluation.compare import Compare
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.report.terminal import tables

_TEXTS = {"outputs", "comments"}
_NO_TEXTS: dict[str, Any] = {
    "__all__": {
        "inputs": True,
        "reference": True,
        "old": {"__all__": _TEXTS},
        "new": {"__all__": _TEXTS},
    }
}


@exits_by_verdict
@with_options(model_options, into="models")
@with_options(gate_options, into="gate")
def compare(
    *,
    models: ModelOptions,
    gate: GateOptions,
    data: Annotated[
        Path | None,
        typer.Option(help="File of cases: training lines, such as test.jsonl of `prepare`."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset of LangSmith, or of the engine, instead.")
    ] = None,
    repetitions: Annotated[
        int, typer.Option(min=1, help="Answers of each model to each case.")
    ] = 1,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Most cases that are answered at the same time.")
    ] = 4,
    html: Annotated[
        Path | None, typer.Option(help="File for the report, with the worst regressions' texts.")
    ] = None,
    texts: Annotated[
        bool, typer.Option("--texts", help="Print requests and answers, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a new model with the old one. Exits with 0 pass, 1 fail, 4 too few cases, 2 error."""
    if (data is None) == (dataset is None):
        raise typer.BadParameter("Use one of --data and --dataset.")
    step = build(
        Compare,
        **gate.app,
        old=models.old(),
        repetitions=repetitions,
        max_concurrency=concurrency,
    )
    cases: Any = dataset if data is None else file_cases(data)
    new = models.new()
    shown = ComparisonProgress(console(err=True, quiet=as_json))
    try:
        # What the app prints: standard output is for the result.
        with shown as progress, redirect_stdout(sys.stderr):
            result = step.invoke({"model": new, "data": cases}, {"callbacks": [progress]})
    except KeyboardInterrupt:
        print_line("Stopped: there is no verdict. Both models are asked again next time.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    try:
        result = _decided(result, gate)
    finally:
        # Also after a rule for an unknown evaluator: the answers were paid for.
        _print(result, texts=texts, as_json=as_json)
        if html is not None:
            result.to_html(html)
    assert result.decision is not None
    raise typer.Exit(EXIT_CODES[result.decision.verdict])


def _decided(result: ComparisonResult, gate: GateOptions) -> ComparisonResult:
    try:
        decision = result.decide(**gate.rules, confidence=gate.confidence)
    except InvalidArgumentError as error:
        raise typer.BadParameter(str(error)) from None
    notes = list(result.notes)
    if not any(gate.rules.values()):
        default = ", ".join(f"{rule.evaluator}={rule.bound:g}" for rule in decision.rules)
        notes.append(f"No rule was given, so the default decides: --at-least {default}.")
    return result.model_copy(update={"decision": decision, "notes": notes})


def _print(result: ComparisonResult, *, texts: bool, as_json: bool) -> None:
    if as_json:
        print_json(result.model_dump(mode="json", exclude=None if texts else {"cases": _NO_TEXTS}))
    else:
        print_drawn(tables(result, texts=texts))
