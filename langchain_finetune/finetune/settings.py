"""The settings of `FineTune`, checked, and what a job is made from by them."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from langchain_finetune.convert.budget import Budget
from langchain_finetune.convert.estimate import Prices
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.rows import Target
from langchain_finetune.errors import ConvertError
from langchain_finetune.finetune.connection import Address, default_base_url
from langchain_finetune.finetune.contract import save_contract
from langchain_finetune.finetune.deploy import Deployment, require_fitting
from langchain_finetune.finetune.engines.profiles import Engine, profile_of
from langchain_finetune.finetune.fingerprint import EXAMPLES, TRAINING_SHA256
from langchain_finetune.finetune.job import DAY_S
from langchain_finetune.finetune.job_spec import JobSpec
from langchain_finetune.finetune.training_files import spool
from langchain_finetune.home import ensure_home, home_path
from langchain_finetune.methods import METHODS, Hyperparameters, Method, foreign, method_of


class FineTuneSettings(BaseModel):
    """The fields of `FineTune`, which says what they mean."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    model: str = Field(min_length=1)
    engine: Engine = "openai"
    base_url: Address | None = None
    api_key: SecretStr | None = None
    deployment: Deployment | None = None
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
        if self.engine == "local" and (self.base_url or self.api_key):
            raise ValueError(
                "engine='local' finds its address and key by itself; leave base_url and api_key "
                "out, or use engine='openai' for a server that you name."
            )
        profile = profile_of(self.engine)
        if profile.needs_base_url and self.base_url is None:
            raise ValueError(f"engine={self.engine!r} needs the base_url of your own resource.")
        if profile.deploys and self.deployment is None:
            raise ValueError(
                f"At engine={self.engine!r} a model answers only once it is deployed: say how, "
                "deployment=AzureDeployment(...) or NebiusDeployment(...)."
            )
        require_fitting(self.engine, self.deployment)
        refused = sorted(set(profile.refused_in_suffix) & set(self.suffix or ""))
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
        base = self._base()
        epochs = self.hyperparameters.n_epochs
        spooled = spool(
            examples,
            ensure_home(home_path()) / "spool",
            target=Target(
                self.engine,
                base,
                base_url=self._address(),
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
        if examples.method == "completion" and self.engine in {"local", "azure"}:
            raise ConvertError(
                f"Engine {self.engine!r} trains on chats and on pairs, not on prompt and "
                "completion: use Convert(method='supervised') or Convert(method='preference')."
            )
        method = method_of(examples.method).name
        for name in foreign(method, self.hyperparameters.model_dump(exclude_defaults=True)):
            owner = next(other for other in METHODS.values() if name in other.own)
            raise ConvertError(
                f"{name} is for the method {owner.name}: use Convert(method={owner.lines[0]!r})."
            )
        return method

    def _address(self) -> str | None:
        # The embedded engine's is found when it is asked.
        return None if self.engine == "local" else self.base_url or default_base_url(self.engine)

    def _base(self) -> str:
        """Return the base as the engine finds it: it does not run in this folder."""
        folder = Path(self.model).expanduser()
        if self.engine == "local" and self.model != "nano" and folder.is_dir():
            return str(folder.resolve())
        return self.model
