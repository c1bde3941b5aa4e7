"""`migrate`: from a model that goes dark to one of your own, by one command."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from langchain_finetune.cli.comparison_progress import ComparisonProgress
from langchain_finetune.cli.exit_codes import EXIT_CODES, exits_by_verdict
from langchain_finetune.cli.gate_options import GateOptions, gate_options
from langchain_finetune.cli.hyperparameter_options import hyperparameter_options
from langchain_finetune.cli.interrupt import INTERRUPTED, takes_its_time_to_end
from langchain_finetune.cli.job_options import EngineOptions, engine_options
from langchain_finetune.cli.migration_bar import MigrationBar
from langchain_finetune.cli.options import EngineChoice, build, with_options
from langchain_finetune.cli.output import AsJson, print_drawn, print_json, print_line
from langchain_finetune.cli.recording_options import RecordingOptions, recording_options
from langchain_finetune.display.terminal import plain
from langchain_finetune.evaluation.report.terminal import tables
from langchain_finetune.finetune.callbacks import RichProgress
from langchain_finetune.methods import Hyperparameters
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.migrate import Migration
from langchain_finetune.migration.result import MigrationResult
from langchain_finetune.migration.state import has_begun
from langchain_finetune.migration.training_data import TrainOn


@exits_by_verdict
@with_options(recording_options, into="wanted")
@with_options(gate_options, into="gate")
@with_options(hyperparameter_options, into="hyperparameters")
@with_options(engine_options, into="chosen")
def migrate(
    *,
    wanted: RecordingOptions,
    gate: GateOptions,
    hyperparameters: Hyperparameters,
    chosen: EngineOptions,
    model: Annotated[str, typer.Argument(help="The model that goes dark.")],
    to: Annotated[str, typer.Option(help="Base of the new model.")],
    out: Annotated[Path, typer.Option(help="Folder for all that is fetched and found.")],
    engine: Annotated[EngineChoice, typer.Option(help="Engine of the new model.")] = "local",
    base_url: Annotated[str | None, typer.Option(help="Base URL of that engine.")] = None,
    old_engine: Annotated[EngineChoice, typer.Option(help="Engine of the old model.")] = "openai",
    old_base_url: Annotated[str | None, typer.Option(help="Base URL of that engine.")] = None,
    train_on: Annotated[
        TrainOn, typer.Option(help="auto: the training file if it was rescued, or the recording.")
    ] = "auto",
    suffix: Annotated[str | None, typer.Option(help="Suffix of the new model's name.")] = None,
    max_training_usd: Annotated[
        float | None, typer.Option(min=0, help="Refuse to train if it would cost more.")
    ] = None,
    swap: Annotated[
        bool, typer.Option("--swap/--no-swap", help="Let it answer to the old name, if it passes.")
    ] = True,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would be done, and what it costs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rescue, record, train, compare and swap. Exits with 0 pass, 1 fail, 4 too few cases, 2 error.

    Run it again to go on after an error: nothing is paid for twice.
    """
    step = chosen.fine_tune(
        engine,
        model=to,
        base_url=base_url,
        suffix=suffix,
        hyperparameters=hyperparameters,
        max_cost_usd=max_training_usd,
    )
    # What was asked for is paid for, so the first Ctrl-C waits for it.
    with takes_its_time_to_end(), MigrationBar(quiet=as_json) as bar:

        def confirm(estimate: RecordingEstimate) -> bool:
            bar.stop()
            return wanted.confirm(estimate, bar.console)

        bar.console.print(plain(f"{model}: reading what is done in {out}"), soft_wrap=True)
        migration = build(
            Migration,
            model=model,
            to=step,
            out=out,
            # Prompts are chosen once; LangSmith need not be there later.
            sources=[] if has_begun(out) else wanted.sources(model),
            engine=old_engine,
            base_url=old_base_url,
            train_on=train_on,
            swap=swap,
            confirm=confirm,
            confidence=gate.confidence,
            **wanted.settings,
            **gate.app,
            **gate.rules,
        )
        if plan:
            made = migration.plan(on_progress=bar.show)
            print_json(made.model_dump(mode="json")) if as_json else print_line(str(made))
            return
        # The old model's answers come from a file, at once.
        shown = ComparisonProgress(bar.console, sides=("new",))
        with RichProgress(bar.console) as training, shown as cases:
            try:
                # What the app prints: standard output is for the result.
                with redirect_stdout(sys.stderr):
                    result = migration.run(
                        on_progress=bar.show, config={"callbacks": [training, cases]}
                    )
            except KeyboardInterrupt:
                print_line(
                    f"Stopped. What was done is in {out}: run the same again to go on. A training "
                    "that has begun goes on at its engine.",
                    err=True,
                )
                raise typer.Exit(INTERRUPTED) from None
    _print(result, as_json=as_json)
    raise typer.Exit(EXIT_CODES[result.verdict])


def _print(result: MigrationResult, *, as_json: bool) -> None:
    decision = result.comparison.decision
    assert decision is not None
    if as_json:
        print_json(
            {
                "model": result.model,
                "new_model": result.new_model,
                "verdict": result.verdict,
                "rules": [each.model_dump() for each in decision.rules],
                "differences": [each.model_dump() for each in result.comparison.differences],
                "steps": {
                    name: each.model_dump(mode="json") for name, each in result.steps.items()
                },
                "report": str(result.report),
            }
        )
        return
    for name, record in result.steps.items():
        print_line(f"{name}: {record.summary}.")
    print_drawn(tables(result.comparison, texts=False))
    for line in (*result.advice, f"The report, with requests and answers: {result.report}"):
        print_line(line)
