"""How far a training loop has come, on disk, so that another process goes on from there."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.durable import flush
from langchain_finetune.private_files import replacing


class Position(BaseModel):
    """The position in the data that a saved state belongs to.

    Attributes:
        step: Steps that the state has seen.
        state: Its path at the host; None at the beginning.
        history: What was measured so far, as transformers logs it.
        unlogged: Measures of the steps since the last log.
        models: Models of the checkpoints that are kept, by step, as named by the host.
        exports: Their exported adapters, if the weights are to come home.
        leftover: Paths at the host that are no longer needed, and not yet known to be deleted.
        sessions: Sessions at the host that are not known to be closed.
        promised: Model of the next checkpoint, which may be at the host already.
    """

    model_config = ConfigDict(extra="forbid")

    step: int = 0
    state: str | None = None
    history: list[dict[str, Any]] = Field(default_factory=list)
    unlogged: list[dict[str, float]] = Field(default_factory=list)
    models: dict[int, str] = Field(default_factory=dict)
    exports: dict[int, str] = Field(default_factory=dict)
    leftover: list[str] = Field(default_factory=list)
    sessions: list[str] = Field(default_factory=list)
    promised: str | None = None

    @classmethod
    def read(cls, work: Path) -> Self:
        """Return the position of a job, by the folder of its checkpoints."""
        path = work / "position.json"
        return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()

    @property
    def holds_anything(self) -> bool:
        """Whether something of the job may be at the host."""
        saved = (self.state, self.models, self.exports, self.promised)
        return any(saved) or bool(self.sessions or self.leftover)

    def break_promise(self) -> None:
        """Have a model deleted whose checkpoint was never completed."""
        if self.promised:
            self.leftover = [*self.leftover, self.promised]
            self.promised = None

    def begin_anew(self) -> None:
        """Go back to the beginning; what was saved at the host is to be deleted."""
        state = [self.state] if self.state else []
        self.leftover += [*state, *self.models.values(), *self.exports.values()]
        self.step, self.state, self.history, self.unlogged = 0, None, [], []
        self.models, self.exports = {}, {}

    def write(self, work: Path) -> None:
        """Write it down, in one go; it outlives a loss of power."""
        with replacing(work / "position.json") as file:
            file.write(self.model_dump_json().encode())
        flush(work)
