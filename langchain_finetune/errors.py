"""All errors that this package raises, as one tree.

```text
FineTuningError
├── InvalidArgumentError    an argument of a step is misspelt or not valid; also a ValueError
├── MissingExtraError       an optional dependency is not installed; also an ImportError
├── LoadError               a source of chats cannot be read
├── ConvertError            the chats cannot be converted to a training set
│   └── BudgetError         training would exceed the budget
├── EngineError             a fine-tuning engine refused a request or is unreachable
│   ├── EngineUnreachableError
│   ├── EngineAuthenticationError
│   ├── BaseModelError      the engine does not have the base model
│   └── JobSubmissionError  no job was created, or it is unknown (`outcome_unknown`)
│       └── TrainingNotAvailableError   fine-tuning is not available to this account
├── CompareError            two models cannot be compared with this chain or data
├── GateError               a model did not pass its gate (has `result`)
└── JobError                a job did not produce a usable model (has `job_id`)
    ├── JobFailedError      (has the engine's `code`)
    ├── JobCancelledError
    ├── JobTimeoutError
    ├── ModelRetiredError   its model was deleted or shut down
    └── DeployError         its model could not be deployed
```

`GateWarning` is issued when a gate lets the old model answer, `ModelRetirementWarning` when a
model's retirement is announced.

A message says what failed, which object (by id) and what to do next. It never contains training
text or keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.exceptions import LangChainException


class FineTuningError(LangChainException):
    """Base class of all errors of this package; also a `LangChainException`."""


class InvalidArgumentError(FineTuningError, ValueError):
    """An argument of a step is misspelt, missing or not valid; also a `ValueError`."""


class MissingExtraError(FineTuningError, ImportError):
    """An optional dependency is not installed; the message has the command that installs it."""


class LoadError(FineTuningError):
    """A source of chats could not be read: unreachable, unknown, or access denied.

    Attributes:
        skipped: All skipped chats (`Skip`), if skipping them is the error (`strict`); the message
            names the first.
    """

    def __init__(self, message: str, *, skipped: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.skipped = tuple(skipped)


class ConvertError(FineTuningError):
    """The chats cannot be converted to a training set: too few were selected or passed the checks.

    Attributes:
        rejected: All rejected chats (`Skip`), if rejecting them is the error (`strict`); the
            message names the first.
    """

    def __init__(self, message: str, *, rejected: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.rejected = tuple(rejected)


class BudgetError(ConvertError):
    """Training would exceed the budget of money or tokens; no job was created."""


@dataclass(frozen=True)
class Failure:
    """What a failed request to an engine means for the next step.

    Attributes:
        may_pass: The same request may succeed a little later.
        outcome_unknown: The engine may have carried the request out.
        unreachable: No connection was made, so nothing was sent.
        invalid: The engine refuses the request as it is; the job may have ended.
        missing: The engine, for this key, has no such thing.
        model_missing: It has no such model; more than having no such route.
        hint_s: Seconds that the engine asks to wait.
        reason: The engine's own sentence.
    """

    may_pass: bool = False
    outcome_unknown: bool = False
    unreachable: bool = False
    invalid: bool = False
    missing: bool = False
    model_missing: bool = False
    hint_s: float = 0.0
    reason: str = ""


class EngineError(FineTuningError):
    """A fine-tuning engine refused a request or failed to execute it.

    Args:
        message: What happened and what to do next.
        failure: What it means for the next step; by default, that it is final.
    """

    def __init__(self, message: str, *, failure: Failure = Failure()) -> None:
        super().__init__(message)
        self.failure = failure


class EngineUnreachableError(EngineError):
    """The engine does not respond at its address."""


class EngineAuthenticationError(EngineError):
    """The engine rejected the API key."""


class BaseModelError(EngineError):
    """The engine does not have the base model, or cannot fine-tune it."""


class JobSubmissionError(EngineError):
    """No job was created, or it is unknown whether one was.

    Args:
        message: What happened and what to do next.
        outcome_unknown: Whether the engine may have created the job. The ledger records this:
            running the same chain again looks for that job before it creates another.
        failure: What it means for the next step.
    """

    def __init__(
        self,
        message: str,
        *,
        outcome_unknown: bool = False,
        failure: Failure = Failure(),
    ) -> None:
        super().__init__(message, failure=failure)
        self.outcome_unknown = outcome_unknown


class TrainingNotAvailableError(JobSubmissionError):
    """The engine does not let this account create fine-tuning jobs, or no longer does."""


class JobError(FineTuningError):
    """A fine-tuning job did not produce a usable model.

    Args:
        message: What happened and what to do next.
        job_id: The engine's id of the job.
    """

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobFailedError(JobError):
    """The job failed.

    Args:
        message: What happened and what to do next.
        job_id: The engine's id of the job.
        code: The engine's error code, such as `invalid_training_file`; new ones may be added.
    """

    def __init__(self, message: str, *, job_id: str, code: str | None = None) -> None:
        super().__init__(message, job_id=job_id)
        self.code = code


class JobCancelledError(JobError):
    """The job was cancelled."""


class JobTimeoutError(JobError):
    """The job did not end before the timeout; it continues at the engine."""


class ModelRetiredError(JobError):
    """The job's model was deleted or shut down; running the same chain again trains a new one."""


class CompareError(FineTuningError):
    """Two models cannot be compared: the chain, the data or an evaluator does not fit."""


class GateError(FineTuningError):
    """A model did not pass its gate, or there were too few cases to know.

    Attributes:
        result: The comparison (`ComparisonResult`), with its `decision`.
    """

    def __init__(self, message: str, *, result: Any) -> None:
        super().__init__(message)
        self.result = result


class GateWarning(UserWarning):
    """A model did not pass its gate, so the old one is used."""


class ModelRetirementWarning(UserWarning):
    """The retirement of a model or of an engine's fine-tuning was announced for a date.

    Silence it with `warnings.filterwarnings("ignore", category=ModelRetirementWarning)`.
    """


class DeployError(JobError):
    """The job succeeded, but its model could not be deployed; the model still exists."""


class TrainedContractWarning(UserWarning):
    """A fine-tuned model is called with tools other than those it was trained with."""


def raised_by(function: str, chat_id: str, kind: type[FineTuningError]) -> FineTuningError:
    """Return the error for an exception that a user's function raised, to be its cause.

    `function` is the name of the parameter that it was passed as, such as `redact`.
    """
    # The function's own message may contain text of the chat, so it is only in the cause.
    return kind(f"Your function `{function}` failed for chat {chat_id}; see the cause.")
