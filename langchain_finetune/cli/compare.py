"""`compare`: whether a new model is as good as the old one."""

import math
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_finetune.cli.app_objects import app_object
from langchain_finetune.cli.comparison_progress import ComparisonProgress
from langchain_finetune.cli.model_options import ModelOptions, model_options
from langchain_finetune.cli.options import build, with_options
from langchain_finetune.cli.output import AsJson, console, print_drawn, print_json
from langchain_finetune.evaluation.case_files import file_cases
from langchain_finetune.evaluation.compare import Compare
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.evaluators import (
    answer_agreement,
    arguments_match,
    exact_match,
    length_ratio,
    normalized_text,
    refusal_match,
    tool_name_match,
    valid_json,
)
from langchain_finetune.evaluation.report.terminal import tables

EXIT_CODES = {"pass": 0, "fail": 1, "too_few": 4}
"""Exit code of each verdict; 2 is a wrong option, and 1 also an error."""

_EVALUATORS = {
    each.__name__: each
    for each in (
        tool_name_match,
        arguments_match,
        valid_json,
        exact_match,
        normalized_text,
        refusal_match,
        length_ratio,
        answer_agreement,
    )
}

_TEXTS = {"outputs", "comments"}
_NO_TEXTS: dict[str, Any] = {
    "__all__": {
        "inputs": True,
        "reference": True,
        "old": {"__all__": _TEXTS},
        "new": {"__all__": _TEXTS},
    }
}


@with_options(model_options, into="models")
def compare(
    *,
    models: ModelOptions,
    data: Annotated[
        Path | None,
        typer.Option(help="File of cases: training lines, such as test.jsonl of `prepare`."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset of LangSmith, or of the engine, instead.")
    ] = None,
    chain: Annotated[
        str | None,
        typer.Option(help="module:function that puts a model into your chain, from this folder."),
    ] = None,
    tools: Annotated[
        str | None,
        typer.Option(help="module:name of your app's tools, for a chain of model and tools."),
    ] = None,
    evaluator: Annotated[
        list[str] | None,
        typer.Option(help="Built-in name, or module:function. Repeatable; the first is primary."),
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option(help="EVALUATOR=BOUND: worse by no more, such as correct=-0.02. Repeatable."),
    ] = None,
    better: Annotated[
        list[str] | None,
        typer.Option(help="EVALUATOR=BOUND: better by more, such as judge=0. Repeatable."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Confidence of each decision.")
    ] = 0.95,
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
    """Compare a new model with the old one. Exits with 0 pass, 1 fail, 4 too few cases."""
    if (data is None) == (dataset is None):
        raise typer.BadParameter("Use one of --data and --dataset.")
    rules = {"at_least": _bounds(at_least, "--at-least"), "better": _bounds(better, "--better")}
    step = build(
        Compare,
        chain=app_object(chain, "--chain"),
        tools=app_object(tools, "--tools") or [],
        evaluators=[_evaluator(each) for each in evaluator] if evaluator else None,
        old=models.old(),
        repetitions=repetitions,
        max_concurrency=concurrency,
    )
    cases: Any = dataset if data is None else file_cases(data)
    # LangSmith's `evaluate` has a bar without a total, and prints to standard output.
    os.environ.setdefault("TQDM_DISABLE", "1")
    with (
        ComparisonProgress(console(err=True, quiet=as_json)) as progress,
        redirect_stdout(sys.stderr),
    ):
        given = {"model": models.new(), "data": cases}
        result = step.invoke(given, {"callbacks": [progress]})
    try:
        result = _decided(result, rules, confidence)
    finally:
        # Also after a rule for an unknown evaluator: the answers were paid for.
        _print(result, texts=texts, as_json=as_json)
        if html is not None:
            result.to_html(html)
    assert result.decision is not None
    raise typer.Exit(EXIT_CODES[result.decision.verdict])


def _decided(
    result: ComparisonResult, rules: dict[str, dict[str, float]], confidence: float
) -> ComparisonResult:
    decision = result.decide(**rules, confidence=confidence)
    notes = list(result.notes)
    if not any(rules.values()):
        default = ", ".join(f"{rule.evaluator}={rule.bound:g}" for rule in decision.rules)
        notes.append(f"No rule was given, so the default decides: --at-least {default}.")
    return result.model_copy(update={"decision": decision, "notes": notes})


def _print(result: ComparisonResult, *, texts: bool, as_json: bool) -> None:
    if as_json:
        print_json(result.model_dump(mode="json", exclude=None if texts else {"cases": _NO_TEXTS}))
    else:
        print_drawn(tables(result, texts=texts))


def _bounds(rules: Sequence[str] | None, option: str) -> dict[str, float]:
    """Return rules such as `correct=-0.02` as bounds by evaluator."""
    found = {}
    for rule in rules or ():
        evaluator, sign, bound = rule.rpartition("=")
        try:
            found[evaluator] = float(bound)
        except ValueError:
            sign = ""
        if not (evaluator and sign) or not math.isfinite(found[evaluator]):
            raise typer.BadParameter(
                f"{option} must have the form EVALUATOR=BOUND, such as correct=-0.02, not {rule!r}."
            )
    return found


def _evaluator(name: str) -> Any:
    if ":" in name:
        return app_object(name, "--evaluator")
    if name not in _EVALUATORS:
        raise typer.BadParameter(
            f"--evaluator {name!r} is neither module:function nor one of {', '.join(_EVALUATORS)}."
        )
    return _EVALUATORS[name]
