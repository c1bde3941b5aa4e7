"""Steps of a chain whose own runs have no texts: the experiments have them.

The caller may trace to another place than the experiments.
"""

from abc import abstractmethod
from typing import Any, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.runnables import RunnableConfig, RunnableSerializable

Given = TypeVar("Given")
Found = TypeVar("Found")


class _Named:
    """A value as it is traced: by a description, without texts and headers."""

    def __init__(self, value: Any, told: str) -> None:
        self.value = value
        self._told = told

    def __repr__(self) -> str:
        return self._told


class TracedStep(RunnableSerializable[Given, Found]):
    """A Runnable whose input and output are traced by names only."""

    def invoke(
        self,
        input: Given,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Found:
        """Return the output of an input; the class says what these are, and what it raises.

        Args:
            input: The input.
            config: LangChain's run configuration; its callbacks receive the progress.
            kwargs: Unused; accepted for Runnable compatibility.
        """
        del kwargs

        def run(
            given: _Named, run_manager: CallbackManagerForChainRun, config: RunnableConfig
        ) -> Any:
            del run_manager  # LangChain passes the config only to functions that take this, too.
            return self._named(self._run(given.value, config))

        call: Any = self._call_with_config
        return cast("Found", call(run, self._named(input), config).value)

    async def ainvoke(
        self,
        input: Given,  # noqa: A002 - defined by Runnable
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Found:
        """Async version of `invoke`."""
        del kwargs

        async def run(
            given: _Named,
            run_manager: AsyncCallbackManagerForChainRun,
            config: RunnableConfig,
        ) -> Any:
            del run_manager
            return self._named(await self._arun(given.value, config))

        call: Any = self._acall_with_config
        return cast("Found", (await call(run, self._named(input), config)).value)

    def _named(self, value: Any) -> Any:
        return _Named(value, self._told(value))

    @abstractmethod
    def _told(self, value: Any) -> str:
        """Return what is traced of an input, or of an output."""

    @abstractmethod
    def _run(self, given: Given, config: RunnableConfig) -> Found:
        """Return the output."""

    @abstractmethod
    async def _arun(self, given: Given, config: RunnableConfig) -> Found:
        """Return the output."""
