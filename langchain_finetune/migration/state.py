"""What a migration has done so far: the file `migration.json` in its folder."""

import datetime as dt
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_finetune.errors import FineTuningError
from langchain_finetune.migration.folders import MANIFEST, write_private

STATE, COMPARISON, REPORT = "migration.json", "comparison.json", "report.html"
RESCUED, RECORDED = "rescued", "recorded"

StepName = Literal["rescue", "record", "train", "compare", "swap"]
"""The steps of a migration, in their order."""


class StepRecord(BaseModel):
    """A step that was done.

    Attributes:
        done_at: When it ended.
        summary: What came of it, in a sentence.
        facts: What later steps and reports need: names, ids and counts, no training text.
    """

    model_config = ConfigDict(extra="forbid")

    done_at: dt.datetime
    summary: str
    facts: dict[str, Any] = Field(default_factory=dict)


class MigrationState(BaseModel):
    """The state of a migration.

    Attributes:
        model: The model that goes dark.
        engine: Name of its engine.
        base_url: Address of its engine, if it was given.
        target_engine: Name of the engine of the new model.
        target_base: Base of the new model.
        steps: The steps that were done.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    engine: str
    base_url: str | None = None
    target_engine: str
    target_base: str
    steps: dict[StepName, StepRecord] = Field(default_factory=dict)

    @classmethod
    def opened(cls, folder: Path, wanted: Self) -> Self:
        """Return the state of a folder; that which is wanted if it has none.

        Raises:
            FineTuningError: The folder holds another migration, or its state is damaged.
        """
        path = folder / STATE
        try:
            found = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return wanted
        except ValidationError as error:
            raise FineTuningError(
                f"{path} is damaged or of another version: migrate into another folder."
            ) from error
        same = {"steps"}
        if found.model_dump(exclude=same) != wanted.model_dump(exclude=same):
            raise FineTuningError(
                f"{folder} holds another migration: {found.described}. Choose another folder for "
                f"{wanted.described}."
            )
        return found

    @property
    def described(self) -> str:
        """From where to where, in words."""
        at = f"{self.engine} ({self.base_url})" if self.base_url else self.engine
        return f"{self.model} at {at} to {self.target_base} at {self.target_engine}"

    def save(self, folder: Path) -> None:
        """Write the state; it is on the disk when this returns."""
        write_private(folder / STATE, self.model_dump_json(indent=2).encode())

    def done(self, step: StepName, folder: Path, summary: str, **facts: Any) -> StepRecord:
        """Note that a step was done; the date stays if it was done before, with the same result."""
        record = StepRecord(done_at=dt.datetime.now(dt.UTC), summary=summary, facts=facts)
        before = self.steps.get(step)
        if before is not None and (before.summary, before.facts) == (summary, facts):
            return before
        self.steps[step] = record
        self.save(folder)
        return record


def has_begun(folder: Path) -> bool:
    """Return whether the prompts of a migration are chosen: its recording has begun."""
    return (folder.expanduser() / RECORDED / MANIFEST).exists()
