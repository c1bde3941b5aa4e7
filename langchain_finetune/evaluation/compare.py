"""`Compare`: two models answer the same cases, as two LangSmith experiments."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langsmith import Client, aevaluate, evaluate
from langsmith.run_helpers import tracing_context
from pydantic import ConfigDict, Field, InstanceOf

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.content import mapping
from langchain_finetune.evaluation.case_datasets import experiment_client
from langchain_finetune.evaluation.chains import model_name
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.failures import log_no_failures
from langchain_finetune.evaluation.plan import ComparisonPlan, make_plan, result_of
from langchain_finetune.evaluation.side import AppChain, ModelSide
from langchain_finetune.evaluation.traced import TracedStep
from langchain_finetune.evaluation.without_links import without_links
from langchain_finetune.loaders.langsmith_client import reading

COMPARISON_EVENT = "comparison_progress"
"""Name of the LangChain custom event that reports a comparison's progress.

Its data: `{"comparison_id", "side": "old" or "new", "model", "done", "total"}`.
"""


class Compare(CheckedArguments, TracedStep[dict[str, Any], ComparisonResult]):
    """Compare two models in your chain: both answer the same cases, and evaluators score them.

    Input: `{"model": the new chat model, "data": cases}`. The cases are examples of `Convert`, best
    `examples.part("test")` (of split ones, that part is taken), or the name of a LangSmith dataset.
    Each model's answers are a LangSmith experiment over one dataset, linked as a pairwise
    comparison: on LangSmith if `LANGSMITH_API_KEY` is set, or else in the run store of the embedded
    engine, which is started when needed. Cases that the training file of the new model contains are
    left out, also those for which only the chain's own request shows it.

    A request that fails is tried again as the chat model does it (`max_retries`). An error that
    remains is an outcome: an answer of the new model counts as 0 for each evaluator, and one of
    the old model has no score. The new model is asked first, and no further if it can't be reached,
    is unknown or gets no access.

    Progress is reported as LangChain custom events named `comparison_progress`.

    `invoke` and `ainvoke` raise a `CompareError` if the chain, the data or the evaluators don't
    fit, if training saw all cases, or if all answers of one model failed; and a `LoadError` if
    LangSmith can't be reached, or has no such dataset.

    Args:
        chain: Your chain, its model left open: a function of the model, such as
            `lambda model: prompt | model.bind_tools(tools) | parser`, or of the model and the
            tools, such as `lambda model, tools: create_agent(model, tools)`. None is the model
            itself on the recorded request, with its tools and response format.
        evaluators: Evaluators of LangSmith or openevals, as they are. Higher scores must be better.
            The first one is the primary one. By default built-in
            ones that fit the data, such as `arguments_match` and `tool_name_match`.
        old: The model that your app calls now, or your whole chain with it (any Runnable that is
            no chat model).
        tools: Tools of your app, for a chain of two parameters. They are not executed: they answer
            from the recording of each case, and a call that was not recorded gets an error.
        run_tools: Execute tools.
        agent: Whether the chain calls its tools itself, with several requests: then a case begins
            with the user's last message, and its whole run is compared. By default, that is known
            of graphs of LangGraph, and assumed of whatever takes tools, except of sequences
            (`prompt | model | parser`) and models.
        inputs: A function from a case to the chain's input. By default, examples of `Convert`
            become `{"messages": [...], "input": "the user's last text"}`, without the leading
            system messages, and the inputs of a dataset's example stay as they are. The function
            is given the same dict, with the text of the system messages as `system`, and the
            example's `metadata`.
        repetitions: Answers of each model to each case; scores are averaged.
        max_concurrency: Most cases that are answered at the same time.
        prices: USD per million input tokens, and per million output tokens, by the model's name,
            such as `{"gpt-4.1": (2, 8)}`; then the result tells the cost of the answers.
        client: LangSmith's client, if experiments should be somewhere else.

    Example:
        ```python
        compare = Compare(
            chain=lambda model: prompt | model | StrOutputParser(),
            evaluators=[correct],
            old=ChatOpenAI(model="gpt-4.1"),
        )
        result = compare.invoke({"model": tuned, "data": examples.part("test")})
        print(result)
        ```
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    chain: Callable[..., Any] | None = None
    evaluators: list[Any] | None = None
    old: InstanceOf[Runnable[Any, Any]]
    tools: list[Any] = Field(default_factory=list)
    run_tools: bool = False
    agent: bool | None = None
    inputs: Callable[[dict[str, Any]], Any] | None = None
    repetitions: int = Field(default=1, ge=1)
    max_concurrency: int = Field(default=4, ge=1)
    prices: dict[str, tuple[float, float]] = Field(default_factory=dict)
    client: InstanceOf[Client] | None = Field(default=None, repr=False)

    def _run(self, given: dict[str, Any], config: RunnableConfig) -> ComparisonResult:
        with experiment_client(self.client) as client:
            plan = self._plan(given, client)
            for side in plan.turns():
                count = plan.counter(side)

                def report(count: Any = count) -> None:
                    dispatch_custom_event(COMPARISON_EVENT, count(), config=config)

                run = partial(evaluate, side.answer(report), **self._experiment(plan, side))
                # In a thread, so that an interrupt is seen here before all cases are answered.
                thread = ThreadPoolExecutor(1)
                try:
                    with _undisturbed(plan, side):
                        side.experiment = thread.submit(copy_context().run, run).result()
                finally:
                    # After an interrupt, nobody waits for the answers that are on their way.
                    thread.shutdown(wait=False)
                side.rows = list(side.experiment)
            return result_of(plan)

    async def _arun(self, given: dict[str, Any], config: RunnableConfig) -> ComparisonResult:
        entered = experiment_client(self.client)
        client = await asyncio.to_thread(entered.__enter__)
        try:
            plan = await asyncio.to_thread(self._plan, given, client)
            turns = plan.turns()
            while side := await asyncio.to_thread(next, turns, None):
                count = plan.counter(side)

                async def report(count: Any = count) -> None:
                    await adispatch_custom_event(COMPARISON_EVENT, count(), config=config)

                with _undisturbed(plan, side):
                    experiment = self._experiment(plan, side)
                    side.experiment = await aevaluate(side.aanswer(report), **experiment)
                side.rows = [row async for row in side.experiment]
            return await asyncio.to_thread(result_of, plan)
        finally:
            await asyncio.to_thread(entered.__exit__, None, None, None)

    def _told(self, value: Any) -> str:
        if isinstance(value, ComparisonResult):
            return repr(value)
        given = mapping(value)
        data = given.get("data")
        named = repr(data) if isinstance(data, str) else type(data).__name__
        return f"model={model_name(given.get('model'))!r} data={named}"

    def _plan(self, given: dict[str, Any], client: Client) -> ComparisonPlan:
        app = AppChain(self.chain, self.tools, self.run_tools, self.inputs, self.agent)
        return make_plan(
            given,
            client,
            app=app,
            old=self.old,
            evaluators=self.evaluators,
            repetitions=self.repetitions,
            prices=self.prices,
        )

    def _experiment(self, plan: ComparisonPlan, side: ModelSide) -> dict[str, Any]:
        return {
            "data": list(plan.examples.values()),
            "evaluators": list(side.evaluators),
            "metadata": plan.metadata_of(side),
            "experiment_prefix": f"{plan.name_of(side)} ({side.side})",
            "max_concurrency": self.max_concurrency,
            "num_repetitions": self.repetitions,
            "client": plan.client,
        }


@contextmanager
def _undisturbed(plan: ComparisonPlan, side: ModelSide) -> Iterator[None]:
    """Keep an experiment out of the caller's trace and output; end it with the caller's wait.

    Raises:
        LoadError: LangSmith can't be reached, or refuses the experiment.
    """
    log_no_failures()
    inherited = var_child_runnable_config.set(None)
    try:
        what = f"experiment of {plan.name_of(side)}"
        with reading(plan.client, what), tracing_context(parent=False), without_links():
            yield
    except BaseException:
        side.stopped.set()
        raise
    finally:
        var_child_runnable_config.reset(inherited)
