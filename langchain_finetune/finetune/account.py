"""Where jobs are made, and how fast that place is asked."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_finetune.finetune.engines.profiles import Engine
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.finetune.retry import Retry

_LOCAL_RETRY = Retry(first_s=0.2, longest_s=2.0)
_MODEL_APPEARS_S = 900.0


@dataclass(frozen=True)
class Account:
    """An account at an engine, and the ledger of what was sent there.

    Attributes:
        engine: Its kind.
        base_url: Its address.
        account: Names the account; see `account_of`.
        ledger: What was sent.
        now: Seconds since 1970.
    """

    engine: Engine
    base_url: str
    account: str
    ledger: Ledger
    now: Callable[[], float] = field(default=time.time, compare=False)

    @property
    def local(self) -> bool:
        """Whether it is the embedded engine, which is asked often and has no delays."""
        return self.engine == "local"

    @property
    def retry(self) -> Retry:
        """How often and how fast to ask for what does not come."""
        return _LOCAL_RETRY if self.local else Retry()

    @property
    def looks(self) -> tuple[float, ...]:
        """Pauses before each look for a job that may exist; a list may lag behind the jobs."""
        return (0.1, 0.5) if self.local else (1.0, 3.0, 8.0)

    @property
    def model_appears_s(self) -> float:
        """How long a finished job's model may still be unknown at the engine."""
        return 0.0 if self.local else _MODEL_APPEARS_S
