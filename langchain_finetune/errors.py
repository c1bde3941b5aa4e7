"""Every error that this package raises, as one tree.

```text
FineTuningError
├── LoadError               a source of chats can't be read
├── ConvertError            no training set can be made of the chats
│   └── BudgetError         training on them would take more than it may
├── EngineError             a fine-tuning engine refused, or can't be reached
│   ├── EngineUnreachableError
│   ├── EngineAuthenticationError
│   ├── BaseModelError      the engine has no such base model
│   └── JobSubmissionError  no job was made, or it is not known (`outcome_unknown`)
│       └── TrainingNotAvailableError   this account may not fine-tune here (any more)
└── JobError                a job gives no model (carries `job_id`)
    ├── JobFailedError      (carries the engine's `code`)
    ├── JobCancelledError
    ├── JobTimeoutError
    ├── ModelRetiredError   it did give one, which is not there any more
    └── DeployError         its model was made, but does not answer
```

`ModelRetirementWarning` is warned with where the end of a model is announced.

A message says what failed, which one (by id) and what to do next. It never holds training text
or keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.exceptions import LangChainException


class FineTuningError(LangChainException):
    """Base of all errors of this package; also a `LangChainException`."""


class LoadError(FineTuningError):
    """A source of chats could not be read: unreachable, unknown, or refused.

    Attributes:
        skipped: Every chat that was left out (`Skip`), where that is the error (`strict`); the
            message names the first.
    """

    def __init__(self, message: str, *, skipped: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.skipped = tuple(skipped)


class ConvertError(FineTuningError):
    """The chats make no training set: none was selected, or too few passed the checks.

    Attributes:
        rejected: Every chat that was left out (`Skip`), where that is the error (`strict`); the
            message names the first.
    """

    def __init__(self, message: str, *, rejected: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.rejected = tuple(rejected)


class BudgetError(ConvertError):
    """Training would cost more, or take more tokens, than it may; nothing was sent."""


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
    """A fine-tuning engine refused a request or could not carry it out.

    Args:
        message: What happened and what to do next.
        failure: What it means for the next step; by default, that it is final.
    """

    def __init__(self, message: str, *, failure: Failure = Failure()) -> None:
        super().__init__(message)
        self.failure = failure


class EngineUnreachableError(EngineError):
    """Nothing answers at the engine's address."""


class EngineAuthenticationError(EngineError):
    """The engine does not accept the key."""


class BaseModelError(EngineError):
    """The engine has no base model of that name, or it can't be fine-tuned."""


class JobSubmissionError(EngineError):
    """No job was made, or it is not known whether one was.

    Args:
        message: What happened and what to do next.
        outcome_unknown: Whether the engine may have made the job. The ledger remembers it: the
            same chain, run again, looks for the job before it asks for one.
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
    """The engine lets this account make no fine-tuning jobs, or no more of them."""


class JobError(FineTuningError):
    """A fine-tuning job gives no model.

    Args:
        message: What happened and what to do next.
        job_id: The job, as the engine names it.
    """

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobFailedError(JobError):
    """The engine gave the job up.

    Args:
        message: What happened and what to do next.
        job_id: The job, as the engine names it.
        code: The engine's reason, such as `invalid_training_file`; the set is open.
    """

    def __init__(self, message: str, *, job_id: str, code: str | None = None) -> None:
        super().__init__(message, job_id=job_id)
        self.code = code


class JobCancelledError(JobError):
    """Somebody cancelled the job."""


class JobTimeoutError(JobError):
    """The job did not end before the deadline; it goes on at the engine."""


class ModelRetiredError(JobError):
    """The job's model was deleted or shut down; the same chain, run again, makes a new one."""


class ModelRetirementWarning(UserWarning):
    """A model, or an engine's fine-tuning, is announced to stop; the message says when.

    Silence it with `warnings.filterwarnings("ignore", category=ModelRetirementWarning)`.
    """


class DeployError(JobError):
    """The job succeeded, but its model could not be deployed; the model is kept."""


class TrainedContractWarning(UserWarning):
    """A fine-tuned model is called with other tools than it was trained with."""


def raised_by(function: str, chat_id: str, kind: type[FineTuningError]) -> FineTuningError:
    """Return the error of a user's own function, to be raised from what it raised.

    Args:
        function: What it is given as, such as `redact`.
        chat_id: Names the chat that it was called for.
        kind: Which error of this package.
    """
    # What the function said may hold the chat's text: only the cause has it.
    return kind(
        f"Your function `{function}` failed for the chat {chat_id}: its own error is the cause "
        "of this one."
    )
