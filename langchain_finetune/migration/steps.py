"""Flows whose steps have a blocking and a native async form, run by either driver."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from langchain_finetune.errors import FineTuningError

Result = TypeVar("Result")


@dataclass(frozen=True)
class MigrationStep:
    """Something to do, in both forms: blocking, and for an event loop."""

    plain: Callable[[], Any]
    native: Callable[[], Awaitable[Any]]

    @classmethod
    def blocking(cls, action: Callable[[], Any]) -> "MigrationStep":
        """Return a step that has no async form, and runs in a thread there."""
        return cls(action, partial(asyncio.to_thread, action))


StepFlow = Generator[MigrationStep, Any, Result]
"""Yields steps, is sent what they return, and is thrown the errors of this package."""


def run_steps(flow: StepFlow[Result]) -> Result:
    """Run a flow to its end."""
    found: Any = None
    failed: FineTuningError | None = None
    while True:
        try:
            step = flow.throw(failed) if failed else flow.send(found)
        except StopIteration as end:
            result: Result = end.value
            return result
        found = failed = None
        try:
            found = step.plain()
        except FineTuningError as error:
            failed = error


async def arun_steps(flow: StepFlow[Result]) -> Result:
    """Run a flow to its end without blocking the event loop."""
    found: Any = None
    failed: FineTuningError | None = None
    while True:
        try:
            step = flow.throw(failed) if failed else flow.send(found)
        except StopIteration as end:
            result: Result = end.value
            return result
        found = failed = None
        try:
            found = await step.native()
        except FineTuningError as error:
            failed = error
