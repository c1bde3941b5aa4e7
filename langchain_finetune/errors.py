"""Every error that this package raises, as one tree.

```text
FineTuningError
├── LoadError               a source of chats can't be read
├── ConvertError            no training set can be made of the chats
│   └── BudgetError         training on them would take more than it may
├── EngineError             a fine-tuning engine refused, or can't be reached
│   ├── EngineUnreachableError
│   ├── EngineAuthenticationError
│   └── BaseModelError      the engine has no such base model
└── JobError                a job did not end well (carries `job_id`)
    ├── JobFailedError      (carries the engine's `code`)
    ├── JobCancelledError
    ├── JobTimeoutError
    └── DeployError         its model was made, but does not answer
```

A message says what failed, which one (by id) and what to do next. It never holds training text
or keys.
"""

from langchain_core.exceptions import LangChainException


class FineTuningError(LangChainException):
    """Base of all errors of this package; also a `LangChainException`."""


class LoadError(FineTuningError):
    """A source of chats could not be read: unreachable, unknown, or refused."""


class ConvertError(FineTuningError):
    """The chats make no training set: none was selected, or too few passed the checks."""


class BudgetError(ConvertError):
    """Training would cost more, or take more tokens, than it may; nothing was sent."""


class EngineError(FineTuningError):
    """A fine-tuning engine refused a request or could not carry it out."""


class EngineUnreachableError(EngineError):
    """Nothing answers at the engine's address."""


class EngineAuthenticationError(EngineError):
    """The engine does not accept the key."""


class BaseModelError(EngineError):
    """The engine has no base model of that name, or it can't be fine-tuned."""


class JobError(FineTuningError):
    """A fine-tuning job did not end with a model.

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


class DeployError(JobError):
    """The job succeeded, but its model could not be deployed; the model is kept."""
