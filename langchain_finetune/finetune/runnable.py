"""`FineTune`: fine-tunes a model on training examples."""

import asyncio
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal, Self, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_openai import ChatOpenAI
from pydantic import ConfigDict, Field, InstanceOf, SecretStr, WithJsonSchema, model_validator

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.convert.contract import save_contract
from langchain_finetune.convert.estimate import Budget, Prices, families
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.progress import ConversionProgress, TellConversion
from langchain_finetune.convert.rows import Target
from langchain_finetune.engines import EngineName, all_engines, engine_of, lines_at
from langchain_finetune.engines.access import Address
from langchain_finetune.engines.base import Deployment
from langchain_finetune.engines.jobs import JobProgress
from langchain_finetune.errors import ConvertError
from langchain_finetune.finetune.callbacks import CONVERSION_EVENT, PROGRESS_EVENT
from langchain_finetune.finetune.connection import Connection
from langchain_finetune.finetune.contract import bound_as_trained
from langchain_finetune.finetune.interrupt import when_cancelled, when_interrupted
from langchain_finetune.finetune.job import DAY_S, Job
from langchain_finetune.finetune.submit import (
    asubmit_spec,
    job_of_id,
    submit_spec,
)
from langchain_finetune.finetune.training_files import EXAMPLES, TRAINING_SHA256, JobSpec, spool
from langchain_finetune.home import ensure_home, home_path
from langchain_finetune.methods import METHODS, Hyperparameters, Method, foreign, method_of


class FineTune(CheckedArguments, RunnableSerializable[Examples, ChatOpenAI]):
    """Fine-tune a model on training examples and return a `ChatOpenAI` bound to it.

    It combines `submit`, `Job.wait` and `Job.model`. Each job is created only once: running the
    same chain again attaches to the existing job, also after a crash, and returns its model if it
    has succeeded. Progress is reported as LangChain custom events named `fine_tuning_progress`.

    Args:
        model: The base model: for the embedded engine `nano`, a local folder or a Hub id;
            otherwise a model of the server.
        engine: `local` is the embedded engine, which is started when needed. `openai` is any
            server with OpenAI's fine-tuning API, at `base_url`. All engines are listed in
            `langchain_finetune.engines.ENGINES`; some have to deploy a model before use.
        base_url: Address of the server; by default `OPENAI_BASE_URL`, or the engine's own. Azure's
            is `https://<resource>.openai.azure.com/openai/v1/`.
        api_key: API key; by default from the engine's environment variable, such as
            `OPENAI_API_KEY`.
        deployment: How the model is deployed, at engines that require it.
        hyperparameters: Hyperparameters that the engine should not choose itself.
        suffix: Suffix of the model's name; at most 64 characters, at some engines fewer.
        seed: Seed of the training.
        extra_body: Additional, engine-specific fields of the job's request, such as Azure's
            `{"trainingType": "GlobalStandard"}`.
        max_cost_usd: Raise a `BudgetError` before anything is sent if training would cost more.
            If the engine chooses the number of epochs, its usual choice is assumed. An engine that
            prices jobs itself is asked once the files are uploaded.
        max_tokens: The same for the number of trained tokens; each epoch counts.
        prices: USD per million trained tokens, by base model, instead of the built-in prices.
        timeout_s: Maximum seconds to wait for the job, which continues afterwards.
        reuse: Whether to reuse an existing job of the same data and settings.
        on_cancel: Whether to `keep` or `cancel` the job when the wait is cancelled, or interrupted
            with Ctrl-C.
        chat_settings: Further arguments of the returned `ChatOpenAI`, such as
            `{"temperature": 0}`.
        bind_trained_tools: Bind the returned model to the tools and the response format that it
            was trained with.

    Examples of `Convert(method="preference")` are trained on with DPO, those of
    `Convert(method="unpaired_preference")` with KTO.

    Example:
        ```python
        chain = loader | Convert() | FineTune(model="nano", engine="local")
        model = chain.invoke({})
        model.invoke("What's 56/7?")
        model.metadata  # {"job_id": ..., "base_model": ..., "training_sha256": ..., ...}
        ```
    """

    # Runnables ignore unknown fields, but misspelled settings must be refused.
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
    # Settings may contain headers with keys.
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
        kind = type(self.deployment)
        if self.deployment is not None and kind is not engine.deployment:
            wanted = next((each.name for each in all_engines() if each.deployment is kind), None)
            raise ValueError(
                f"deployment={kind.__name__} is for engine={wanted!r}, not {engine.name!r}."
            )
        if self.deployment is None and engine.deployment and engine.deploys(self.extra_body):
            raise ValueError(
                f"At engine={engine.name!r} a model answers only once it is deployed: say how, "
                f"deployment={engine.deployment.__name__}(...)."
            )
        if len(self.suffix or "") > engine.max_suffix:
            raise ValueError(
                f"A suffix at engine={self.engine!r} may have at most {engine.max_suffix} "
                "characters."
            )
        refused = sorted(set(engine.refused_in_suffix) & set(self.suffix or ""))
        if refused:
            raise ValueError(f"A suffix at engine={self.engine!r} must not hold {refused[0]!r}.")
        return self

    def spec_of(self, examples: Examples) -> JobSpec:
        """Write the training files, and return the specification of the job.

        Raises:
            ConvertError: The examples are not a training set for this engine.
            BudgetError: Training would exceed the budget.
        """
        return self._spec_of(examples)

    def _spec_of(self, examples: Examples, tell: TellConversion | None = None) -> JobSpec:
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
            tell=tell,
        )
        training = spooled.training
        save_contract(spooled.contract, training.sha256, home_path())
        return JobSpec(
            model=base,
            training=training,
            validation=spooled.validation,
            hyperparameters=self.hyperparameters.model_dump(exclude_defaults=True),
            suffix=self.suffix,
            seed=self.seed,
            metadata={TRAINING_SHA256: training.sha256, EXAMPLES: str(training.examples)},
            method=method,
            extra_body=self.extra_body,
            max_cost_usd=self._to_be_quoted(examples, base),
        )

    def _to_be_quoted(self, examples: Examples, base: str) -> float | None:
        """Return the limit that the engine's own price is held against; None if there is none."""
        if not engine_of(self.engine).quotes or any(
            each in (self.prices or ()) for each in families(base)
        ):
            return None
        limits = (self.max_cost_usd, examples.settings.get("max_cost_usd"))
        return min((each for each in limits if each is not None), default=None)

    def _method(self, examples: Examples) -> Method:
        taken = lines_at(self.engine, self.base_url)
        if examples.method not in taken:
            raise ConvertError(
                f"Engine {self.engine!r} trains on {', '.join(taken)} lines, not on "
                f"{examples.method}: use Convert(method={taken[0]!r})."
            )
        method = method_of(examples.method).name
        for name in foreign(method, self.hyperparameters.model_dump(exclude_defaults=True)):
            owners = " or ".join(
                f"{other.name}: use Convert(method={other.lines[0]!r})"
                for other in METHODS.values()
                if name in other.own
            )
            raise ConvertError(f"{name} is for the method {owners}.")
        return method

    @property
    def OutputType(self) -> Any:  # noqa: N802 - defined by Runnable
        """A chat model, with a JSON schema that does not include its clients."""
        return Annotated[ChatOpenAI, WithJsonSchema({"title": "ChatOpenAI", "type": "object"})]

    def invoke(
        self,
        input: Examples,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> ChatOpenAI:
        """Fine-tune on the examples and wait for the model.

        Args:
            input: Examples, as returned by `Convert`.
            config: LangChain's run configuration; its callbacks receive the progress.
            kwargs: Unused; accepted for Runnable compatibility.

        Raises:
            ConvertError: There are fewer than ten examples; nothing was sent.
            BudgetError: Training would exceed the budget; nothing was sent.
            EngineError: The engine is unreachable, or refused the key, the base or the data;
                `JobSubmissionError` says whether the job may have been created.
            JobError: The job failed, was cancelled, or did not end in time.
        """
        return self._call_with_config(self._fine_tune, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Examples,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> ChatOpenAI:
        """Async version of `invoke`.

        Cancelling it ends the wait immediately; `on_cancel` determines whether the job continues.
        A job that was being submitted may have been created: with `cancel`, it is looked up and
        cancelled; with `keep`, running the same chain again finds it.
        """
        return await self._acall_with_config(self._afine_tune, input, config, **kwargs)

    def submit(self, examples: Examples) -> Job:
        """Create the job, or find the existing one, without waiting for its end.

        Args:
            examples: Examples, as returned by `Convert`.

        Raises:
            ConvertError: There are fewer than ten examples; nothing was sent.
            BudgetError: Training would exceed the budget; nothing was sent.
            JobSubmissionError: The engine refused, or it is unknown whether the job was created.
            EngineError: The engine is unreachable, or refused the key or the base.
        """
        return self._submitted(self.spec_of(examples))

    async def asubmit(self, examples: Examples) -> Job:
        """Async version of `submit`."""
        return await self._asubmitted(await asyncio.to_thread(self.spec_of, examples))

    def attach(self, job: Job) -> Job:
        """Return a job, for example one that was read from JSON, with this step's key.

        Args:
            job: A job of this step's engine.

        Raises:
            FineTuningError: The job belongs to another engine.
        """
        key = self._connection().key_for(job.engine, job.base_url)
        return job.with_api_key(key) if key else job

    def from_job_id(self, job_id: str) -> Job:
        """Return a job of this step's engine by its id.

        Raises:
            EngineError: The engine is unreachable, refused the key, or does not have the job.
        """
        return self.attach(self._connection().run(partial(job_of_id, job_id)))

    async def afrom_job_id(self, job_id: str) -> Job:
        """Async version of `from_job_id`."""
        job = await self._connection().arun(partial(job_of_id, job_id))
        return await asyncio.to_thread(self.attach, job)

    def _fine_tune(
        self, examples: Examples, run_manager: CallbackManagerForChainRun, config: RunnableConfig
    ) -> ChatOpenAI:
        del run_manager  # LangChain passes the config only to functions that take this, too.

        def report(progress: JobProgress) -> None:
            dispatch_custom_event(PROGRESS_EVENT, asdict(progress), config=config)

        def report_conversion(progress: ConversionProgress) -> None:
            dispatch_custom_event(CONVERSION_EVENT, asdict(progress), config=config)

        job = self._submitted(self._spec_of(examples, report_conversion))
        with when_interrupted(job.cancel if self.on_cancel == "cancel" else None):
            job.wait(timeout_s=self.timeout_s, on_progress=report)
        model = job.model(deployment=self.deployment, **self.chat_settings)
        return self._bound(model)

    async def _afine_tune(
        self,
        examples: Examples,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
    ) -> ChatOpenAI:
        del run_manager  # LangChain passes the config only to functions that take this, too.

        async def report(progress: JobProgress) -> None:
            await adispatch_custom_event(PROGRESS_EVENT, asdict(progress), config=config)

        loop = asyncio.get_running_loop()

        def report_conversion(progress: ConversionProgress) -> None:
            # The examples are made in a thread; the callbacks belong to the event loop.
            told = adispatch_custom_event(CONVERSION_EVENT, asdict(progress), config=config)
            asyncio.run_coroutine_threadsafe(told, loop).result()

        spec = await asyncio.to_thread(self._spec_of, examples, report_conversion)
        job = await self._asubmitted(spec)
        async with when_cancelled(job.acancel if self.on_cancel == "cancel" else None):
            await job.wait_async(timeout_s=self.timeout_s, on_progress=report)
        model = await job.amodel(deployment=self.deployment, **self.chat_settings)
        return self._bound(model)

    def _bound(self, model: ChatOpenAI) -> ChatOpenAI:
        # A bound model has the same interface.
        return cast("ChatOpenAI", bound_as_trained(model)) if self.bind_trained_tools else model

    def _submitted(self, spec: JobSpec) -> Job:
        job = submit_spec(spec, self._connection(), **self._submit_options())
        return self.attach(job)

    async def _asubmitted(self, spec: JobSpec) -> Job:
        job = await asubmit_spec(spec, self._connection(), **self._submit_options())
        return await asyncio.to_thread(self.attach, job)

    def _submit_options(self) -> dict[str, Any]:
        return {"reuse": self.reuse, "on_cancel": self.on_cancel}

    def _connection(self) -> Connection:
        return Connection(self.engine, self.base_url, self.api_key)
