"""`Gate`: lets a new model pass if a comparison shows that it is good enough."""

import logging
import sys
import warnings
from typing import Annotated, Any, Literal, cast

from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field, InstanceOf, WithJsonSchema

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.errors import (
    CompareError,
    GateError,
    GateWarning,
    InvalidArgumentError,
)
from langchain_finetune.evaluation.case_files import held_out_cases
from langchain_finetune.evaluation.chains import chat_model_of, model_name, wrapped_in
from langchain_finetune.evaluation.compare import Compare
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.keys import check_rules
from langchain_finetune.evaluation.traced import TracedStep

_Model = Annotated[Runnable[Any, Any], WithJsonSchema({"title": "ChatModel", "type": "object"})]

_INSIDE = frozenset({"langchain_finetune", "langchain_core", "asyncio", "concurrent", "threading"})

_log = logging.getLogger(__name__)


class Gate(CheckedArguments, TracedStep[Runnable[Any, Any], Runnable[Any, Any]]):
    """Compare a new model with the old one, and return the one that may answer.

    Input: a chat model, such as what `FineTune` returns. It is returned if each rule is shown, with
    the verdict in its metadata under `gate`: numbers and names, no texts. Otherwise the old model
    is returned with a `GateWarning`, or a `GateError` is raised. Too few cases never pass.

    `invoke` and `ainvoke` also raise a `GateError` if a rule names an evaluator that gave no score;
    its `result` is the comparison. They raise what those of `Compare` do, too.

    Args:
        compare: How to compare.
        data: The cases, as for `Compare`. By default those that were held out from the training of
            the model, `Convert(split=Split(test=...))`, if it was trained from this machine.
        at_least: By evaluator, the difference that must be exceeded: `{"correct": -0.02}` means not
            worse by more than 0.02. Without any rule, the primary evaluator must not be worse by
            more than 0.05.
        better: By evaluator, the gain that must be exceeded, mostly 0.
        confidence: One-sided confidence with which each rule must be shown.
        otherwise: What to do if the new model does not pass: return the `old` one, or `raise`.

    Example:
        ```python
        model = (
            loader
            | Convert(split=Split(test=0.2))
            | FineTune(model="nano", engine="local")
            | Gate(compare, at_least={"correct": -0.02})
        ).invoke({})
        model.metadata["gate"]["verdict"]  # "pass", if it is the new one
        ```
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    compare: InstanceOf[Compare]
    data: Any = None
    at_least: dict[str, float] = Field(default_factory=dict)
    better: dict[str, float] = Field(default_factory=dict)
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    otherwise: Literal["old", "raise"] = "old"

    def __init__(self, compare: Compare, data: Any = None, **settings: Any) -> None:
        super().__init__(compare=compare, data=data, **settings)
        # Not once the new model is trained.
        check_rules(self.compare.evaluators, {"at_least": self.at_least, "better": self.better})

    @property
    def InputType(self) -> Any:  # noqa: N802 - defined by Runnable
        """A chat model, with a JSON schema that does not include its clients."""
        return _Model

    @property
    def OutputType(self) -> Any:  # noqa: N802 - defined by Runnable
        """The new model, or the old one."""
        return _Model

    def _run(self, given: Runnable[Any, Any], config: RunnableConfig) -> Runnable[Any, Any]:
        return self._chosen(given, self.compare.invoke(self._given(given), config))

    async def _arun(self, given: Runnable[Any, Any], config: RunnableConfig) -> Runnable[Any, Any]:
        return self._chosen(given, await self.compare.ainvoke(self._given(given), config))

    def _told(self, value: Any) -> str:
        return f"model={model_name(value)!r}"

    def _given(self, model: Runnable[Any, Any]) -> dict[str, Any]:
        if chat_model_of(model) is None:
            raise CompareError(
                f"Gate takes a chat model, such as FineTune returns, not {type(model).__name__}."
            )
        return {"model": model, "data": held_out_cases(model) if self.data is None else self.data}

    def _chosen(self, model: Runnable[Any, Any], result: ComparisonResult) -> Runnable[Any, Any]:
        try:
            decision = result.decide(
                at_least=self.at_least, better=self.better, confidence=self.confidence
            )
        except InvalidArgumentError as error:
            # The answers were paid for.
            raise GateError(str(error), result=result) from error
        result = result.model_copy(update={"decision": decision})
        reasons = " ".join([*(rule.reason for rule in decision.rules), *result.notes])
        told = f"{result.new} against {result.old}: {decision.verdict}. {reasons}"
        told += f" Both answers to each case: {result.url}" if result.url else ""
        # Such as that it is unknown whether training saw the cases.
        _log.log(logging.WARNING if result.notes else logging.INFO, "Gate: %s", told)
        if decision.verdict == "pass":
            return _with_verdict(model, result)
        if self.otherwise == "raise":
            raise GateError(f"The gate did not let the new model pass. {told}", result=result)
        warnings.warn(f"The old model stays. {told}", GateWarning, stacklevel=_users_level())
        return self.compare.old


def _users_level() -> int:
    """Return the stack level of the line that called the gate: the first one outside."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001 - as `warnings` does it
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1
    return level


def _with_verdict(model: Any, result: ComparisonResult) -> Runnable[Any, Any]:
    """Return a copy of a model with the verdict in its metadata, also inside of bindings."""
    assert result.decision is not None
    if model is not chat_model_of(model):
        field = wrapped_in(model)
        assert field is not None, "the gate was given a model"
        wrapped = _with_verdict(getattr(model, field), result)
        return cast("Runnable[Any, Any]", model.model_copy(update={field: wrapped}))
    differences = ("evaluator", "cases", "old", "new", "difference", "low", "high", "p_value")
    gate = {
        "verdict": result.decision.verdict,
        "confidence": result.decision.confidence,
        "old_model": result.old,
        "comparison_id": result.id,
        "dataset": result.dataset,
        "experiment": result.new_experiment.name,
        "old_experiment": result.old_experiment.name,
        "differences": [each.model_dump(include=set(differences)) for each in result.differences],
        "rules": [rule.model_dump() for rule in result.decision.rules],
        "notes": result.notes,
    }
    metadata = {**(model.metadata or {}), "gate": gate}
    return cast("Runnable[Any, Any]", model.model_copy(update={"metadata": metadata}))
