"""What the steps of a migration tell while they run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MigrationProgress:
    """Progress of a step of a migration.

    Attributes:
        step: The step, such as `inventory` or `rescue`.
        message: What is being done now; ids and names only, no training text.
        done: Number of models or requests that are done.
        total: Their number, if known.
    """

    step: str
    message: str
    done: int = 0
    total: int | None = None

    def __str__(self) -> str:
        count = f"[{self.done}/{self.total}] " if self.total else ""
        return f"{count}{self.message}"
