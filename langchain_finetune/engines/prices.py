"""What training at an engine costs, and how fast it is."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


class Price(BaseModel):
    """The price of training, in USD per million trained tokens.

    The source is of the month `as_of`, `YYYY-MM`; None if the price was set by the user.
    """

    model_config = ConfigDict(frozen=True)

    usd: float
    source: str
    as_of: str | None = None

    def __str__(self) -> str:
        when = f", {self.as_of}" if self.as_of else ""
        return f"${self.usd:g} per million trained tokens ({self.source}{when})"


@dataclass(frozen=True)
class Speed:
    """The speed of training a base model: trained tokens per second, and where it was measured.

    The engine's choice of epochs depends on the number of parameters.
    """

    tokens_per_s: float
    parameters: int
    source: str
