"""`FineTune`: the step from training examples to a fine-tuned `ChatOpenAI`."""

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from pydantic import ConfigDict, Field, SecretStr, model_validator

from langchain_finetune.convert.budget import Budget
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.prices import Prices
from langchain_finetune.convert.rows import Target
from langchain_finetune.errors import ConvertError, EngineAuthenticationError
from langchain_finetune.finetune.engines.embedded import aensure_engine, ensure_engine
from langchain_finetune.finetune.engines.openai import submit_job
from langchain_finetune.finetune.job import (
    EngineSilent,
    FinishedJob,
    Hyperparameters,
    JobCreated,
    JobSpec,
    News,
    progress_of,
)
from langchain_finetune.finetune.job_log import log_job
from langchain_finetune.finetune.progress import PROGRESS_EVENT
from langchain_finetune.finetune.spool import spool
from langchain_finetune.finetune.steps import Flow, Tell, arun_flow, run_flow
from langchain_finetune.finetune.wait import Patience, wait_for_job
from langchain_finetune.home import ensure_home, home_path

_DAY = 24 * 3600.0


class FineTune(RunnableSerializable[Examples, ChatOpenAI]):
    """Fine-tune a model on training examples and return a `ChatOpenAI` bound to it.

    Writes the training file to disk, uploads it, creates one job, waits for it and returns the
    model. The job's id is on disk (`jobs.jsonl` in the home folder) before the wait begins.
    Progress comes as LangChain custom events named `fine_tuning_progress`.

    Args:
        model: The base: for the embedded engine `nano`, a local folder or a hub id; elsewhere
            what the server offers.
        engine: `local` is the embedded engine, started when none runs. `openai` is any server
            that speaks OpenAI's fine-tuning API, by `base_url`.
        base_url: The server's address; by default `OPENAI_BASE_URL`, or OpenAI's own.
        api_key: Its key; by default `OPENAI_API_KEY`.
        hyperparameters: Those that the engine shall not choose by itself.
        suffix: Goes into the new model's name; at most 64 characters.
        seed: Of the training.
        max_cost_usd: Raise a `BudgetError` before anything is sent if training would cost more.
            Where the engine chooses the epochs, its usual choice is assumed.
        max_tokens: The same for the tokens to train on; each epoch counts.
        prices: USD per million trained tokens, by base model, in place of the known ones.
        timeout_s: Seconds to wait for the job; it goes on afterwards.
        chat_settings: Further arguments of the `ChatOpenAI` that is returned, such as
            `{"temperature": 0}`.

    Example:
        ```python
        chain = loader | Convert() | FineTune(model="nano", engine="local")
        model = chain.invoke({})
        model.invoke("What's 56/7?")
        model.metadata  # {"job_id": ..., "base_model": ..., "training_sha256": ..., ...}
        ```
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    model: str = Field(min_length=1)
    engine: Literal["openai", "local"] = "openai"
    base_url: str | None = None
    api_key: SecretStr | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    suffix: str | None = Field(default=None, max_length=64)
    seed: int | None = None
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=0)
    prices: Prices | None = None
    timeout_s: float = Field(default=_DAY, gt=0)
    # Settings may hold headers with keys.
    chat_settings: dict[str, Any] = Field(default_factory=dict, repr=False)

    @model_validator(mode="after")
    def _check_engine(self) -> "FineTune":
        if self.engine == "local" and (self.base_url or self.api_key):
            raise ValueError(
                "engine='local' finds its address and key by itself; leave base_url and api_key "
                "out, or use engine='openai' for a server that you name."
            )
        return self

    def invoke(
        self,
        input: Examples,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> ChatOpenAI:
        """Fine-tune on the examples and wait for the model.

        Args:
            input: What `Convert` returns.
            config: LangChain's run configuration; its callbacks hear of the progress.
            kwargs: Not used.

        Raises:
            ConvertError: Fewer than ten examples; nothing was sent.
            BudgetError: It would take more than it may; nothing was sent.
            EngineError: The engine can't be reached, refuses the key, the base or the data.
            JobError: The job failed, was cancelled, or did not end in time.
        """
        return self._call_with_config(self._fine_tune, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Examples,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> ChatOpenAI:
        """Fine-tune on the examples without blocking; as `invoke` otherwise.

        Cancelling it ends the wait at once. A job that was created goes on at the engine; its id
        is in `jobs.jsonl` in the home.
        """
        return await self._acall_with_config(self._afine_tune, input, config, **kwargs)

    def _fine_tune(
        self, examples: Examples, run_manager: CallbackManagerForChainRun, config: RunnableConfig
    ) -> ChatOpenAI:
        del run_manager  # LangChain hands the config on only beside it.
        spec = self._spooled(examples)
        base_url, api_key = self._address()

        def tell(news: News) -> None:
            if isinstance(news, JobCreated):
                log_job(news, home_path())
                return
            if isinstance(news, EngineSilent) and self.engine == "local":
                ensure_engine(home_path())
            dispatch_custom_event(PROGRESS_EVENT, asdict(progress_of(news)), config=config)

        with _client(OpenAI, base_url, api_key) as client:
            job = run_flow(self._flow(spec, str(client.base_url)), client, tell)
            return self._chat_model(spec, job, str(client.base_url), client.api_key)

    async def _afine_tune(
        self,
        examples: Examples,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
    ) -> ChatOpenAI:
        del run_manager  # LangChain hands the config on only beside it.
        # Reading the examples and starting an engine block, so they run in a thread.
        spec = await asyncio.to_thread(self._spooled, examples)
        base_url, api_key = await asyncio.to_thread(self._address)

        async def tell(news: News) -> None:
            if isinstance(news, JobCreated):
                log_job(news, home_path())
                return
            if isinstance(news, EngineSilent) and self.engine == "local":
                await aensure_engine(home_path())
            progress = asdict(progress_of(news))
            await adispatch_custom_event(PROGRESS_EVENT, progress, config=config)

        async with _client(AsyncOpenAI, base_url, api_key) as client:
            job = await arun_flow(self._flow(spec, str(client.base_url)), client, tell)
            return self._chat_model(spec, job, str(client.base_url), client.api_key)

    def _flow(self, spec: JobSpec, base_url: str) -> Flow[FinishedJob]:
        job_id = yield from submit_job(spec, base_url)
        yield Tell(
            JobCreated(job_id, base_url, spec.model, spec.training.sha256, spec.training.path)
        )
        local = self.engine == "local"
        patience = Patience(self.timeout_s, 0.5 if local else 5.0, 1.0 if local else 60.0)
        return (yield from wait_for_job(job_id, patience, base_url))

    def _spooled(self, examples: Examples) -> JobSpec:
        if not isinstance(examples, Examples):
            raise ConvertError(
                f"FineTune takes what Convert returns, not {type(examples).__name__}: "
                "loader | Convert() | FineTune(...)."
            )
        base = self._base()
        epochs = self.hyperparameters.n_epochs
        spooled = spool(
            examples,
            ensure_home(home_path()) / "spool",
            target=Target(
                self.engine,
                base,
                base_url=self.base_url or os.environ.get("OPENAI_BASE_URL"),
                n_epochs=None if epochs == "auto" else epochs,
            ),
            budget=Budget(self.max_cost_usd, self.max_tokens, self.prices),
        )
        training, validation = spooled.training, spooled.validation
        chosen = self.hyperparameters.model_dump(exclude_defaults=True)
        metadata = {"training_sha256": training.sha256, "examples": str(training.examples)}
        return JobSpec(base, training, validation, chosen, self.suffix, self.seed, metadata)

    def _base(self) -> str:
        """Return the base as the engine finds it: it does not run in this folder."""
        folder = Path(self.model).expanduser()
        if self.engine == "local" and self.model != "nano" and folder.is_dir():
            return str(folder.resolve())
        return self.model

    def _address(self) -> tuple[str | None, SecretStr | None]:
        if self.engine == "local":
            address = ensure_engine(home_path())
            return address.base_url, address.api_key
        return self.base_url, self.api_key

    def _chat_model(
        self, spec: JobSpec, job: FinishedJob, base_url: str, api_key: str
    ) -> ChatOpenAI:
        lineage = {
            "job_id": job.job_id,
            "base_model": spec.model,
            "training_sha256": spec.training.sha256,
            "training_examples": spec.training.examples,
        }
        settings = dict(self.chat_settings)
        metadata = {**(settings.pop("metadata", None) or {}), **lineage}
        return ChatOpenAI(
            model=job.fine_tuned_model,
            base_url=base_url,
            api_key=SecretStr(api_key),
            metadata=metadata,
            **settings,
        )


def _client(kind: Any, base_url: str | None, api_key: SecretStr | None) -> Any:
    key = (api_key.get_secret_value() if api_key else os.environ.get("OPENAI_API_KEY", "")).strip()
    if not key:
        raise EngineAuthenticationError(
            "The engine needs a key: give api_key, or set OPENAI_API_KEY."
        )
    if not (key.isascii() and key.isprintable()):
        # The transport would quote such a key in its error, and so in a traceback and a trace.
        raise EngineAuthenticationError(
            "The key has characters that no key has: look at api_key or OPENAI_API_KEY."
        )
    return kind(base_url=base_url, api_key=key)
