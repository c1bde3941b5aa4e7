"""Options that say which prompts a model is asked, how often, and what that may cost."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console

from langchain_finetune.display.text import counted
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.prices import InferencePrice, dollars
from langchain_finetune.migration.sources import recent_runs


@dataclass(frozen=True)
class RecordingOptions:
    """What to record.

    Attributes:
        settings: Arguments of `record`.
        files: Files with prompts.
        project: Projects whose runs have prompts.
        days: Runs of the last so many days.
        yes: Do not ask before it costs money.
    """

    settings: dict[str, Any]
    files: tuple[str, ...]
    project: tuple[str, ...]
    days: int
    yes: bool

    def sources(self, model: str) -> list[Any]:
        """Return the sources of prompts.

        Raises:
            LoadError: There is no LangSmith for the projects.
        """
        limit = self.settings["limit"]
        runs = (
            recent_runs(model, self.project, days=self.days, limit=limit) if self.project else None
        )
        return [*([runs] if runs else []), *self.files]

    def confirm(self, estimate: RecordingEstimate, console: Console) -> bool:
        """Show what the answers cost, and ask whether to go on."""
        limit = self.settings["max_cost_usd"]
        bound = (
            f"Most that is spent: {dollars(limit)}." if limit else "Limit it with --max-cost-usd."
        )
        console.print(f"{estimate} {bound}", soft_wrap=True)
        if estimate.unknown:
            told = counted(estimate.unknown, "answer")
            console.print(f"{told} may have been paid for, but not received.", soft_wrap=True)
        return self.yes or typer.confirm("Ask for these answers?", err=True)


def recording_options(
    *,
    file: Annotated[
        list[str] | None,
        typer.Option(
            help="Training file, exported runs, or the folder of a rescue, with prompts. "
            "Repeatable."
        ),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option(help="Project with runs of the model, whose prompts are used. Repeatable."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Runs of the last so many days.")] = 30,
    limit: Annotated[int, typer.Option(min=1, help="Most prompts.")] = 500,
    answers: Annotated[
        int,
        typer.Option(
            min=0, help="Answers per prompt at the app's temperature; one more is at temperature 0."
        ),
    ] = 1,
    held_out: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of the prompts never to train on.")
    ] = 0.2,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="The temperature of the app, instead of that in the traffic."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the selection.")] = 0,
    max_cost_usd: Annotated[
        float | None, typer.Option(min=0, help="Most that the recording may cost.")
    ] = None,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="PROMPT ANSWER", help="USD per million tokens of each, if not known."),
    ] = None,
    store: Annotated[
        bool,
        typer.Option(
            "--store/--no-store", help="Let the server store the answers, to find lost ones."
        ),
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it costs money.")] = False,
) -> RecordingOptions:
    """Return what to record, as the options say."""
    settings = {
        "answers": answers,
        "limit": limit,
        "held_out": held_out,
        "seed": seed,
        "settings": None if temperature is None else {"temperature": temperature},
        "price": price and InferencePrice(input_usd=price[0], output_usd=price[1]),
        "max_cost_usd": max_cost_usd,
        "store": store,
    }
    return RecordingOptions(settings, tuple(file or ()), tuple(project or ()), days, yes)
