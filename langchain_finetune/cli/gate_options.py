"""Options that say how two models are compared, and when the new one passes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from langchain_finetune.cli.app_objects import app_object
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.evaluation.evaluators import BUILT_IN
from langchain_finetune.evaluation.keys import check_rules


@dataclass(frozen=True)
class GateOptions:
    """The app's chain, the evaluators and the rules.

    Attributes:
        app: `chain`, `tools` and `evaluators`, as `Compare` takes them.
        rules: `at_least` and `better`, as `Gate` takes them.
        confidence: One-sided confidence of each rule.
    """

    app: dict[str, Any]
    rules: dict[str, dict[str, float]]
    confidence: float


def gate_options(
    *,
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
) -> GateOptions:
    """Return how to compare, as the options say."""
    app = {
        "chain": app_object(chain, "--chain"),
        "tools": app_object(tools, "--tools") or [],
        "evaluators": [_evaluator(each) for each in evaluator] if evaluator else None,
    }
    rules = {"at_least": _bounds(at_least, "--at-least"), "better": _bounds(better, "--better")}
    try:
        check_rules(
            app["evaluators"], {"--at-least": rules["at_least"], "--better": rules["better"]}
        )
    except InvalidArgumentError as error:
        raise typer.BadParameter(str(error)) from None
    return GateOptions(app, rules, confidence)


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
    if name not in BUILT_IN:
        raise typer.BadParameter(
            f"--evaluator {name!r} is neither module:function nor one of {', '.join(BUILT_IN)}."
        )
    return BUILT_IN[name]
