"""The result of a migration, as text and as a page."""

from html import escape
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.display.html import document, section, table
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.report.html import sections
from langchain_finetune.evaluation.result import Verdict
from langchain_finetune.migration.folders import write_private
from langchain_finetune.migration.state import REPORT, StepName, StepRecord


class MigrationResult(BaseModel):
    """The result of a migration.

    Attributes:
        model: The model that goes dark.
        new_model: Name of the new one.
        engine: Engine of the new one.
        folder: The folder with all that was fetched and found; `report.html` is the report.
        comparison: Both models on the held-out requests, with the decision.
        steps: What was done.
        advice: What to do next.
        chat: The new chat model, such as a `ChatOpenAI`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    model: str
    new_model: str
    engine: str
    folder: Path
    comparison: ComparisonResult = Field(repr=False)
    steps: dict[StepName, StepRecord]
    advice: tuple[str, ...]
    chat: Any = Field(exclude=True, repr=False)

    @property
    def verdict(self) -> Verdict:
        """The decision about the new model."""
        assert self.comparison.decision is not None
        return self.comparison.decision.verdict

    @property
    def report(self) -> Path:
        """The report, an HTML page; it quotes requests and answers."""
        return self.folder / REPORT

    def __str__(self) -> str:
        steps = [f"{name}: {record.summary}." for name, record in self.steps.items()]
        return "\n".join([*steps, "", str(self.comparison), *self.advice])


def without_addresses(found: ComparisonResult) -> ComparisonResult:
    """Return a comparison without links: a background engine may listen elsewhere tomorrow."""
    sides = {name: getattr(found, name) for name in ("old_experiment", "new_experiment")}
    changes = {name: each.model_copy(update={"url": None}) for name, each in sides.items()}
    told = f"Both answers to each case: langchain-finetune page --open, comparison {found.id}."
    return found.model_copy(update={**changes, "url": None, "notes": [*found.notes, told]})


def write_report(result: MigrationResult) -> None:
    """Write the report to the folder, for its owner only."""
    rows = [
        [escape(name), escape(record.summary), f"{record.done_at:%Y-%m-%d %H:%M} UTC"]
        for name, record in result.steps.items()
    ]
    said = "".join(f"<p>{escape(line)}</p>" for line in result.advice)
    steps = section("Migration", table(["step", "what came of it", "done"], rows, "wide") + said)
    title = f"From {result.model} to {result.new_model}"
    page = document(title, sections(result.comparison, before=steps))
    write_private(result.report, page.encode())
