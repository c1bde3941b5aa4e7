"""The settings of `FineTune`, checked, and what a job is made from by them."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, SecretStr, model_validator

from langchain_finetune.convert.budget import Budget
from langchain_finetune.convert.estimate import Prices
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.rows import Target
from langchain_finetune.engines import EngineName, all_engines, engine_of
from langchain_finetune.engines.base import Address, Deployment, Engine
from langchain_finetune.errors import ConvertError
from langchain_finetune.finetune.contract import save_contract
from langchain_finetune.finetune.job import DAY_S
from langchain_finetune.finetune.job_spec import EXAMPLES, TRAINING_SHA256, JobSpec
from langchain_finetune.finetune.training_files import spool
from langchain_finetune.home import ensure_home, home_path
from langchain_finetune.methods import METHODS, Hyperparameters, Method, foreign, method_of


class FineTuneSettings(BaseModel):
    """The fields of `FineTune`, which says what they mean."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    model: str = Field(min_length=1)
    engine: EngineName = "openai"
    base_url: Address | None = None
    api_key: SecretStr | None = None
    deployment: InstanceOf[Deployment] | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    suffix: str | None = Field(default=None, max_length=64)
    seed: int | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=0)
    prices: Prices | None = None
    timeout_s: float = Field(default=DAY_S, gt=0)
    reuse: bool = True
    on_cancel: Literal["keep", "cancel"] = "keep"
    # Settings may hold headers with keys.
    chat_settings: dict[str, Any] = Field(default_factory=dict, repr=False)
    bind_trained_tools: bool = False

    @model_validator(mode="after")
    def _check_engine(self) -> Self:
        engine = engine_of(self.engine)
        if not engine.takes_base_url and (self.base_url or self.api_key):
            raise ValueError(
                f"engine={self.engine!r} finds its address and key by itself; leave base_url and "
                "api_key out, or use engine='openai' for a server that you name."
            )
        if engine.needs_base_url and self.base_url is None:
            raise ValueError(f"engine={self.engine!r} needs the base_url of your own resource.")
        _check_deployment(engine, self.deployment)
        refused = sorted(set(engine.refused_in_suffix) & set(self.suffix or ""))
        if refused:
            raise ValueError(f"A suffix at engine={self.engine!r} must not hold {refused[0]!r}.")
        return self

    def spec_of(self, examples: Examples) -> JobSpec:
        """Write the training files, and return what a job is made from.

        Raises:
            ConvertError: The examples make no training set for this engine.
            BudgetError: Training would take more than it may.
        """
        if not isinstance(examples, Examples):
            raise ConvertError(
                f"FineTune takes what Convert returns, not {type(examples).__name__}: "
                "loader | Convert() | FineTune(...)."
            )
        method = self._method(examples)
        engine = engine_of(self.engine)
        base = engine.base_of(self.model)
        epochs = self.hyperparameters.n_epochs
        spooled = spool(
            examples,
            ensure_home(home_path()) / "spool",
            target=Target(
                self.engine,
                base,
                base_url=self.base_url or engine.default_base_url() or None,
                n_epochs=None if epochs == "auto" else epochs,
            ),
            budget=Budget(self.max_cost_usd, self.max_tokens, self.prices),
        )
        training, validation = spooled.training, spooled.validation
        chosen = self.hyperparameters.model_dump(exclude_defaults=True)
        metadata = {TRAINING_SHA256: training.sha256, EXAMPLES: str(training.examples)}
        save_contract(spooled.contract, training.sha256, home_path())
        return JobSpec(
            base,
            training,
            validation,
            chosen,
            self.suffix,
            self.seed,
            metadata,
            method,
            self.extra_body,
        )

    def _method(self, examples: Examples) -> Method:
        taken = engine_of(self.engine).lines
        if examples.method not in taken:
            raise ConvertError(
                f"Engine {self.engine!r} trains on {' and '.join(taken)} lines, not on "
                f"{examples.method}: use Convert(method={taken[0]!r})."
            )
        method = method_of(examples.method).name
        for name in foreign(method, self.hyperparameters.model_dump(exclude_defaults=True)):
            owner = next(other for other in METHODS.values() if name in other.own)
            raise ConvertError(
                f"{name} is for the method {owner.name}: use Convert(method={owner.lines[0]!r})."
            )
        return method


def _check_deployment(engine: Engine, deployment: Deployment | None) -> None:
    """Refuse a deployment that is for another engine, or that is missing."""
    if deployment is not None and type(deployment) is not engine.deployment:
        kind = type(deployment)
        wanted = next((each.name for each in all_engines() if each.deployment is kind), None)
        raise ValueError(
            f"deployment={kind.__name__} is for engine={wanted!r}, not {engine.name!r}."
        )
    if deployment is None and engine.deployment is not None:
        raise ValueError(
            f"At engine={engine.name!r} a model answers only once it is deployed: say how, "
            f"deployment={engine.deployment.__name__}(...)."
        )
