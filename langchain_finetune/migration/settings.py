"""The settings of a recording, and of a migration, which makes one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, InstanceOf, SecretStr, field_validator, model_validator

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.engines import EngineName
from langchain_finetune.engines.access import Address
from langchain_finetune.evaluation.keys import check_rules
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.prices import InferencePrice
from langchain_finetune.migration.training_data import TrainOn

_NOT_SETTINGS = frozenset(
    {"messages", "metadata", "model", "n", "service_tier", "store", "stream", "stream_options"}
)
"""What a recording itself decides; `service_tier` has other prices."""


class AnswerSettings(CheckedArguments):
    """What is asked of a model that goes dark, and what it may cost; `record` describes it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    model: str = Field(min_length=1)
    out: Path
    engine: EngineName = "openai"
    base_url: Address | None = None
    api_key: SecretStr | None = None
    answers: int = Field(default=1, ge=0)
    limit: int = Field(default=500, ge=1)
    held_out: float = Field(default=0.2, ge=0, lt=1)
    seed: int = 0
    settings: dict[str, Any] | None = None
    price: InferencePrice | None = None
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    confirm: Callable[[RecordingEstimate], bool] | None = None
    store: bool = True
    settle_s: float = Field(default=120.0, ge=0, allow_inf_nan=False)

    @field_validator("out")
    @classmethod
    def _in_home(cls, out: Path) -> Path:
        return out.expanduser()

    @field_validator("settings")
    @classmethod
    def _are_of_the_app(cls, settings: dict[str, Any] | None) -> dict[str, Any] | None:
        if fixed := _NOT_SETTINGS.intersection(settings or ()):
            raise ValueError(
                f"settings cannot have {', '.join(sorted(fixed))}: a recording asks its model with "
                "the prompts' messages for one whole answer at a time; `answers` says how many."
            )
        return settings


class RecordingSettings(AnswerSettings):
    """The settings of `record`, which describes them."""

    sources: list[Any] | None = None
    concurrency: int = Field(default=16, ge=1)
    ask_again: bool = False
    timeout_s: float = Field(default=300.0, gt=0)


class MigrationSettings(AnswerSettings):
    """The settings of a `Migration`, which describes them."""

    to: InstanceOf[FineTune]
    sources: Sequence[Any] = ()
    held_out: float = Field(default=0.2, gt=0, lt=1)
    convert: InstanceOf[Convert] = Field(default_factory=Convert)
    train_on: TrainOn = "auto"
    chain: Callable[..., Any] | None = None
    tools: Sequence[Any] = ()
    evaluators: Sequence[Any] | None = None
    at_least: dict[str, float] = Field(default_factory=dict)
    better: dict[str, float] = Field(default_factory=dict)
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    swap: bool = True

    @model_validator(mode="after")
    def _rules_name_evaluators(self) -> Self:
        # Not once the answers are paid for.
        check_rules(self.evaluators, {"at_least": self.at_least, "better": self.better})
        return self

    @field_validator("to")
    @classmethod
    def _trains_once(cls, to: FineTune) -> FineTune:
        if not to.reuse:
            raise ValueError("FineTune(reuse=False) would train again each time that it goes on.")
        return to
