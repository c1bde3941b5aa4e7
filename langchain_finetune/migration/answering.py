"""The flow of a worker that asks for answers, each once.

What is about to be asked is in the journal before the request is sent, and the outcome before the
next one. Where an outcome is not known (the process died, the connection broke, the server failed)
the answer is looked up among the chat completions that the server stored, by the id that the
request carried as metadata. Only if it is not there after `settle_s` seconds is it asked for again.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from openai import APIStatusError, OpenAIError

from langchain_finetune.content import mapping
from langchain_finetune.engines.flow import Call, Do, Flow, Sleep, Tell, Together, ask
from langchain_finetune.engines.jobs import EngineSilent
from langchain_finetune.engines.openai_errors import (
    GarbledError,
    checked,
    explained,
    hinted_s,
)
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.migration.asking import Asking, request_body
from langchain_finetune.migration.estimate import AnswerTask
from langchain_finetune.migration.journal import Key, is_completion
from langchain_finetune.migration.prompts import METADATA

_LOOKUP_TIMEOUT_S = 60.0
_BUSY_ATTEMPTS = 30
"""Most refusals with 429 of one request in a row."""

_BUSY_S = 1800.0
"""Most seconds that one request waits because of them."""

_NOT_LISTED = frozenset({400, 403, 404, 405, 422, 501})
_OURS = frozenset({"store", "metadata"})
_GATEWAY = frozenset({408, 409, 502, 504, *range(520, 528)})
"""Statuses with which a proxy says that it has no answer from the server, which may have one."""

_MOST_PILOTS = 3
"""Requests at the beginning whose outcome is not known; after these, the server is at fault."""


def ask_for_all(asking: Asking, begin: Callable[[], None]) -> Flow[None]:
    """Ask for all answers, by several workers at the same time; errors of one are in `asking`.

    Interrupted, it asks for nothing more; what is on its way was paid for, and is waited for.

    Args:
        asking: What to ask for.
        begin: Is called before the first request that costs something.

    Raises:
        EngineError: The server can't be reached, or does not accept the key.
    """
    if asking.stores:
        yield from can_store(asking)
    yield Do(begin)
    try:
        workers = min(asking.settings.concurrency, len(asking.tasks))
        yield Together([_worker(asking) for _ in range(workers)])
    finally:
        asking.stop()


def _worker(asking: Asking) -> Flow[None]:
    """Work until nothing is left to do; what ends it before that stops the others, too."""
    try:
        yield from work(asking)
    except (FineTuningError, OSError) as error:
        # OSError: the disk is full. The others finish what they have asked for.
        asking.stop(error)
    except BaseException:
        asking.stop()
        raise


def can_store(asking: Asking) -> Flow[None]:
    """Find out whether the server finds stored completions by metadata, which costs nothing.

    Raises:
        EngineError: It can't be reached, or does not accept the key.
    """
    try:
        mark = f"{asking.recording_id}.none"
        if (yield from ask(partial(_listed, asking, mark), asking.retry)):
            asking.no_store()  # It ignores the condition.
        yield from _prove(asking)
    except EngineError as error:
        if isinstance(error.__cause__, APIStatusError) and (
            error.__cause__.status_code in _NOT_LISTED
        ):
            asking.no_store()
            return
        raise


def work(asking: Asking) -> Flow[None]:
    """Ask for one answer after the other, until none is left or something stops all workers.

    Raises:
        FineTuningError: Nothing more can be asked for.
    """
    while (task := (yield Do(asking.next))) is not None:
        if isinstance(task, float):
            yield Sleep(task)
            continue
        yield from _answer(asking, task)
        yield from _prove(asking)
        asking.piloted()
        yield Tell(asking.progress())


def _answer(asking: Asking, task: AnswerTask) -> Flow[None]:
    """Ask for one answer until its outcome is known."""
    course = _Course(asking, task, asking.journal.open.get(task.key), asking.done)
    while not asking.stopped:
        if course.asked_at is not None and (yield from course.look_up()):
            return
        stored = asking.stores
        if course.exhausted:
            reason = f"No answer after {course.attempts} attempts."
            yield Do(partial(asking.failed, task, "no_answer", reason, may_pass=True))
            return
        if (pause := asking.wait_s(task)) > 0:
            yield Sleep(pause)
            continue
        yield Do(partial(asking.asked, task, stored=stored))
        try:
            yield from _ask_once(asking, task, stored=stored)
        except EngineError as error:
            if (yield from course.refused(error)):
                return
        else:
            return


@dataclass
class _Course:
    """How it went so far with one answer.

    Attributes:
        asked_at: When it was asked for, if the outcome of that is not known.
        settle_s: How long it is looked for from then on.
        done_before: How many answers were settled when this one's turn came.
        attempts: Requests that failed in a way that may pass.
        busy: Refusals because of the rate limit.
        busy_s: Seconds that they asked to wait in all.
        exhausted: It is not asked for again.
        refused_itself: The server answered the last request with an error of its own.
    """

    asking: Asking
    task: AnswerTask
    asked_at: float | None
    done_before: int
    attempts: int = 0
    busy: int = 0
    busy_s: float = 0.0
    exhausted: bool = False
    refused_itself: bool = False

    def __post_init__(self) -> None:
        self.settle_s = self.asking.settings.settle_s

    def look_up(self) -> Flow[bool]:
        """Find out what came of a request; return whether that settles the task."""
        asking, task = self.asking, self.task
        assert self.asked_at is not None
        stored = asking.stores and task.key in asking.journal.stored
        found = None
        if stored:
            found = yield from _look_up(asking, task.key, self.asked_at, self.settle_s)
        if found is not None:
            asking.proven = True
            yield Do(partial(asking.answered, task, found, None))
            return True
        if stored and asking.must_prove and asking.put_back(task):
            return True
        known = asking.costs_nothing or self.refused_itself or (stored and asking.proven)
        if not known:
            yield Do(partial(asking.unknown, task))
            return True
        yield Do(partial(asking.free, task))
        self.asked_at = None
        return False

    def refused(self, error: EngineError) -> Flow[bool]:
        """Wait after a request without an answer; return whether the task is settled.

        Raises:
            EngineError: The server does not answer any request, or refuses all.
        """
        asking, failure = self.asking, error.failure
        cause = error.__cause__
        status = cause.status_code if isinstance(cause, APIStatusError) else None
        if isinstance(cause, APIStatusError):
            asking.told(cause.response.headers)
        # The server itself says that it failed: one look is enough.
        self.refused_itself = status is not None and status not in _GATEWAY
        if failure.outcome_unknown and (asking.stores or not self.refused_itself):
            self.asked_at = time.time()
            self.settle_s = 0.0 if self.refused_itself else asking.settings.settle_s
            asking.lost_pilots += asking.must_prove and not self.refused_itself
            if asking.lost_pilots > _MOST_PILOTS:
                raise error
        else:
            yield Do(partial(asking.free, self.task))
        if not failure.may_pass:
            return (yield from _settled(asking, self.task, error, status))
        if status == 429:  # noqa: PLR2004 - too many requests
            assert isinstance(cause, APIStatusError)
            self.busy += 1
            pause_s = failure.hint_s or min(2.0**self.busy * asking.retry.first_s, 60.0)
            # Without the cap on the server's own hint: waiting for less would be in vain.
            self.busy_s += max(pause_s, hinted_s(cause.response.headers, math.inf))
            if self.busy >= _BUSY_ATTEMPTS or self.busy_s > _BUSY_S:
                raise EngineError(
                    f"{error} It goes on refusing, or asks to wait for long ({self.busy_s:.0f} s "
                    "in all): run the same again later. What was recorded is kept.",
                    failure=failure,
                ) from cause
            asking.pause(pause_s)
            return False
        self.attempts += 1
        wait = asking.retry.pause_after(self.attempts, failure)
        # Without any other answer in the meantime it is the server, not the prompt.
        if wait is None and asking.done == self.done_before:
            raise error
        self.exhausted = wait is None
        yield Tell(EngineSilent())
        yield Sleep(wait or 0.0)
        return False


def _ask_once(asking: Asking, task: AnswerTask, *, stored: bool) -> Flow[None]:
    """Send a request and write its answer down.

    Raises:
        EngineError: There is no answer; its cause is the SDK's error.
    """
    mark = _mark(asking, task.key) if stored else None
    body = request_body(asking.model, task.prompt, task.number, mark, takes_zero=asking.takes_zero)
    messages = body.pop("messages")
    model = body.pop("model")

    def request(client: Any) -> Any:
        # As extra fields: the SDK's types know not each of them.
        return client.chat.completions.with_raw_response.create(
            messages=messages, model=model, extra_body=body, timeout=asking.settings.timeout_s
        )

    begun = time.monotonic()
    try:
        answer = yield Call(request, (OpenAIError,))
        checked(answer, ("choices",), asking.base_url)
        completion = answer.http_response.json()
        if not is_completion(completion):
            raise GarbledError("the answer is not a chat completion.")
    except OpenAIError as error:
        raise explained(error, asking.base_url, asking.engine.key_variable) from error
    seconds = round(time.monotonic() - begun, 3)
    asking.told(answer.headers)
    yield Do(partial(asking.answered, task, completion, seconds))


def _settled(
    asking: Asking, task: AnswerTask, error: EngineError, status: int | None
) -> Flow[bool]:
    """Return whether a refusal settles the task; False if it shall be asked for again.

    Raises:
        EngineError: The refusal holds for each prompt.
    """
    cause = error.__cause__
    if error.failure.model_missing:
        raise EngineError(
            f"{asking.base_url} has no model {asking.model!r}, or not any more: no more answers "
            "can be recorded. Those that were are kept.",
            failure=error.failure,
        ) from error
    if status not in {400, 413, 422} or not isinstance(cause, APIStatusError):
        raise error
    if asking.stores and str(cause.param).partition(".")[0] in _OURS:
        asking.no_store()
        return False
    if task.number == 0 and asking.takes_zero and cause.param == "temperature":
        asking.takes_zero = False
        return False
    code = str(cause.code or f"http_{status}")
    yield Do(partial(asking.failed, task, code, error.failure.reason, may_pass=False))
    return True


def _prove(asking: Asking) -> Flow[None]:
    """Find out by an answer that was received whether the server lists what it stores."""
    key = asking.example() if asking.must_prove else None
    if key is None:
        return
    found = yield from _look_up(asking, key, time.time(), asking.settings.settle_s)
    asking.proven = found is not None
    if found is None:
        asking.no_store()


def _mark(asking: Asking, key: Key) -> str:
    return f"{asking.recording_id}.{key[0]}.{key[1]}"


def _look_up(
    asking: Asking, key: Key, asked_at: float, settle_s: float
) -> Flow[dict[str, Any] | None]:
    """Return the stored completion of a request, or None if it isn't there in time.

    Raises:
        EngineError: The server can't be asked; the next run looks again.
    """
    mark = _mark(asking, key)
    pause = asking.retry.first_s
    # A clock that was set back must not make this wait for ever.
    until = min(asked_at, time.time()) + settle_s
    while asking.stores:
        late = time.time() >= until
        for entry in (yield from ask(partial(_listed, asking, mark), asking.retry)):
            ours = mapping(entry.get("metadata")).get(METADATA) == mark
            if ours and entry.get("choices") and is_completion(entry):
                return dict(entry)
        if late:
            return None
        yield Sleep(min(pause, max(until - time.time(), 0.01)))
        pause = min(2 * pause, asking.retry.longest_s)
        if asking.stopped:
            raise EngineError("Stopped while an answer was looked up.")
    return None


def _listed(asking: Asking, mark: str) -> Flow[list[Mapping[str, Any]]]:
    """Return the stored completions that carry a mark.

    Raises:
        EngineError: The server can't be asked.
    """
    try:
        answer = yield Call(
            lambda client: client.chat.completions.with_raw_response.list(
                metadata={METADATA: mark}, limit=20, timeout=_LOOKUP_TIMEOUT_S
            ),
            (OpenAIError,),
        )
        checked(answer, ("data",), asking.base_url)
    except OpenAIError as error:
        raise explained(error, asking.base_url, asking.engine.key_variable) from error
    found = answer.http_response.json()["data"]
    return [mapping(entry) for entry in found] if isinstance(found, list) else []
