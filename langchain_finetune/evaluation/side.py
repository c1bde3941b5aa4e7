"""One side of a comparison: a model in the chain, as the target of a LangSmith experiment."""

import math
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langsmith.run_helpers import get_current_run_tree
from langsmith.schemas import Example

from langchain_finetune.content import entries, mapping
from langchain_finetune.convert.secrets import masked
from langchain_finetune.errors import CompareError, raised_by
from langchain_finetune.evaluation.answers import outputs_of, parsed_answer
from langchain_finetune.evaluation.cases import FORMAT, RECORDED
from langchain_finetune.evaluation.chains import (
    bound_request,
    built,
    chat_input,
    chat_model_of,
    check_variables,
    model_name,
    request_messages,
    takes_messages,
    takes_tools,
)
from langchain_finetune.evaluation.failures import AnswerFailedError, NotRecordedError, remedy_of
from langchain_finetune.evaluation.recording import (
    ChainWatch,
    Recording,
    ToolNotRunError,
    how_to_run,
    replayed,
)
from langchain_finetune.evaluation.result import REASON, ModelAnswer
from langchain_finetune.evaluation.scoring import WatchedEvaluator

HINT = "error"
"""Key of the comment that says what to do about an answer's error."""

_LONGEST = 400
"""Characters of a message that are kept."""


@dataclass(frozen=True)
class AppChain:
    """The app's chain with its model left open, and how a case is put into it.

    Attributes:
        chain: A function of the model, or of the model and the tools; None for the model alone.
        tools: The tools that the chain is given.
        run_tools: Whether tools are executed.
        inputs: A function from the case to the chain's input.
        agent: Whether the chain calls its tools itself; None if that is to be seen from it.
    """

    chain: Callable[..., Any] | None = None
    tools: Sequence[Any] = ()
    run_tools: bool = False
    inputs: Callable[[dict[str, Any]], Any] | None = None
    agent: bool | None = None

    def given(self, example: Example, chain: Any) -> Any:
        """Return what a chain is given for a case."""
        inputs = dict(mapping(example.inputs))
        if self.inputs is None and takes_messages(chain):
            return request_messages(inputs)
        case = chat_input(inputs["messages"]) if FORMAT in mapping(example.metadata) else inputs
        if self.inputs is not None:
            try:
                return self.inputs({**case, "metadata": dict(mapping(example.metadata))})
            except Exception as error:
                raise raised_by("inputs", str(example.id), CompareError) from error
        return {key: value for key, value in case.items() if key != "system"}


@dataclass
class ModelSide:
    """A model in the chain, as the target of an experiment: `answer`, or `aanswer`.

    Attributes:
        side: Which of the two.
        model: The model, or a whole chain.
        app: The chain.
        examples: The cases by id.
        evaluators: What scores the answers.
        price: USD per million input tokens, and output tokens, if known.
        answers: The answers by the id of their run, without outputs and scores.
        requests: The requests that a chat model got for each case.
        stopped: Set to end the experiment: runs that have not begun fail at once.
        answered: Whether an answer did not fail.
        unrecorded: Whether one failed only since the recording that answers has none.
        experiment: LangSmith's experiment, once it has ended.
        rows: Its runs with their scores.
    """

    side: Literal["old", "new"]
    model: Any
    app: AppChain
    examples: Mapping[str, Example]
    evaluators: Sequence[WatchedEvaluator]
    price: tuple[float, float] | None = None
    answers: dict[str, ModelAnswer] = field(default_factory=dict)
    requests: dict[str, list[list[BaseMessage]]] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    answered: bool = False
    unrecorded: bool = False
    experiment: Any = None
    rows: list[Any] = field(default_factory=list)

    def chain(self, example: Example, recording: Recording) -> Runnable[Any, Any]:
        """Return the chain for a case: with tools it is built for each, otherwise once."""
        app = self.app
        if app.chain is None and chat_model_of(self.model) is not None:
            return bound_request(self.model, mapping(example.inputs))
        if not takes_tools(app.chain):
            return self._chain
        tools = list(app.tools) if app.run_tools else replayed(app.tools, recording)
        return built(app.chain, self.model, tools)

    @cached_property
    def _chain(self) -> Runnable[Any, Any]:
        return built(self.app.chain, self.model)

    def check(self) -> None:
        """Build the chain for the first case, and check the input of all.

        Raises:
            CompareError: The chain can't be built, its prompt misses a variable, or an example
                is not what it takes.
        """
        chain = self.chain(next(iter(self.examples.values())), Recording([]))
        for example in self.examples.values():
            check_variables(chain, self.app.given(example, chain))

    def check_answers(self) -> None:
        """Check that the model answered at all.

        Raises:
            CompareError: All answers failed, so that there is nothing to decide by.
        """
        given = list(self.answers.values())
        if not given or self.unrecorded or any(each.error is None for each in given):
            return
        errors = Counter(str(each.error) for each in given)
        hints = dict.fromkeys(hint for each in given if (hint := each.comments.get(HINT)))
        raise CompareError(
            f"All answers of {model_name(self.model)} ({self.side}) failed, so there is no verdict:"
            f" {', '.join(f'{count} {name}' for name, count in errors.most_common())}. "
            + (" ".join(hints) or "The runs of its experiment show the errors.")
        )

    def answer(self, report: Callable[[], None]) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Return the function that answers a case; `report` is called after each."""

        def target(inputs: dict[str, Any]) -> dict[str, Any]:
            del inputs  # The run knows its case.
            run = _CaseRun(self)
            try:
                with run.begun() as (chain, given):
                    value = chain.invoke(given, run.config)
            finally:
                report()
            return run.finished(value)

        return target

    def aanswer(
        self, report: Callable[[], Awaitable[None]]
    ) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
        """Async version of `answer`."""

        async def target(inputs: dict[str, Any]) -> dict[str, Any]:
            del inputs  # The run knows its case.
            run = _CaseRun(self)
            try:
                with run.begun() as (chain, given):
                    value = await chain.ainvoke(given, run.config)
            finally:
                await report()
            return run.finished(value)

        return target


class _CaseRun:
    """One run of the chain over one case."""

    def __init__(self, side: ModelSide) -> None:
        tree = get_current_run_tree()
        assert tree is not None, "an experiment's target is traced"
        if side.stopped.is_set():
            raise AnswerFailedError("Stopped")
        self._side = side
        self._example = side.examples[str(tree.reference_example_id)]
        self._recording = Recording(entries(mapping(self._example.metadata).get(RECORDED)))
        self.watch = ChainWatch(run_tools=side.app.run_tools)
        self._usage = UsageMetadataCallbackHandler()
        self._run_id = str(tree.id)
        # Callbacks are given, so that those of the comparison's own run are not inherited.
        self.config: RunnableConfig = {"callbacks": [self._usage, self.watch]}
        self._began = time.perf_counter()

    @contextmanager
    def begun(self) -> Iterator[tuple[Runnable[Any, Any], Any]]:
        """Yield the chain and what it is given, to be called in this block.

        Raises:
            AnswerFailedError: The block, or what is before it, failed.
        """
        try:
            chain = self._side.chain(self._example, self._recording)
            given = self._side.app.given(self._example, chain)
            self._began = time.perf_counter()
            with self.watch.active():
                yield chain, given
        except Exception as error:  # noqa: BLE001 - raised again without its texts
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> AnswerFailedError:
        """Return the run's error: only its class, since the message may contain texts.

        The message is kept for the result, which has all texts.
        """
        side, remedy = self._side, remedy_of(error)
        comments = {REASON: masked(str(error))[0][:_LONGEST]}
        if remedy:
            comments[HINT] = remedy
            if side.side == "new" and not side.answered:
                # All others would fail as well.
                side.stopped.set()
        return self._failure(type(error).__name__, comments)

    def finished(self, value: Any) -> dict[str, Any]:
        """Return the run's outputs."""
        if self.watch.stopped or self.watch.unrecorded:
            # The chain caught it, and went on without the tool, or without the model's answer.
            raise self._failure(ToolNotRunError.__name__, {})
        self._keep()
        self._side.answered = True
        outputs = outputs_of(value)
        is_recorded = FORMAT in mapping(self._example.metadata)
        expected = self._example.outputs or {}
        if isinstance(value, BaseMessage) and is_recorded and "parsed" in expected:
            # As the reference, so that equal answers are equal.
            outputs["parsed"] = parsed_answer(outputs)
        return outputs

    def _failure(self, error: str, comments: dict[str, str]) -> AnswerFailedError:
        if self.watch.unrecorded:
            self._side.unrecorded = True
            error, comments = NotRecordedError.__name__, {}
        elif self.watch.stopped:
            comments = {HINT: how_to_run(self.watch.stopped[0])}
        self._keep(error=error, comments=comments)
        return AnswerFailedError(error)

    def _keep(self, **facts: Any) -> None:
        latency_s = time.perf_counter() - self._began
        side = self._side
        side.requests.setdefault(str(self._example.id), self.watch.requests)
        if usage := list(self._usage.usage_metadata.values()):
            tokens = [
                sum(each[kind] for each in usage) for kind in ("input_tokens", "output_tokens")
            ]
            facts |= {"input_tokens": tokens[0], "output_tokens": tokens[1]}
            if side.price:
                facts["cost_usd"] = sum(map(math.prod, zip(tokens, side.price, strict=True))) / 1e6
        side.answers[self._run_id] = ModelAnswer(
            run_id=self._run_id, latency_s=latency_s, unseen_calls=self._recording.unseen, **facts
        )


def check_tools(app: AppChain) -> None:
    """Check that tools and chain fit.

    Raises:
        CompareError: There are tools but nothing to put them into, or the other way round.
    """
    if takes_tools(app.chain) and not app.tools:
        raise CompareError("chain takes tools: give tools=[...] (--tools), those of your app.")
    if app.tools and not takes_tools(app.chain):
        raise CompareError(
            "tools (--tools) are for a chain of two parameters: chain=lambda model, tools: ..."
        )
