"""One job and every event once, whatever the wire does and whenever the process dies."""

import os
import random
from dataclasses import replace

import httpx2
import pytest

from langchain_finetune.engines import engine_of
from langchain_finetune.engines.flow import Patience
from langchain_finetune.engines.jobs import JobProgress
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.submit import submit_once
from langchain_finetune.finetune.wait import wait_for_job
from support.dying_ledger import DyingLedger
from support.jobs import Clock, account_in, arun, run, spec_in
from support.light_engine import LightEngine, refusal

CASES = int(os.environ.get("FUZZ_CASES", "60"))
PROCESSES = 400


class KilledError(BaseException):
    """The process ends here: no handler may run any more."""


class Chaos:
    """A wire that fails and a process that dies, both as a seed says."""

    def __init__(self, engine, rng):
        self.engine = engine
        self.rng = rng
        self.faults = rng.uniform(0, 0.4)
        self.deaths = rng.uniform(0, 0.06)

    def step(self):
        if self.rng.random() < self.deaths:
            raise KilledError

    def __call__(self, request):
        self.step()
        kind = self.rng.choice(FAULTS) if self.rng.random() < self.faults else None
        if kind in NOT_SENT:
            return NOT_SENT[kind](request)
        answer = self.engine(request)
        self.step()
        return WITHOUT_ANSWER[kind](request, answer) if kind else answer


def raises(error, *_):
    raise error


def doubled(request, answer):
    body = answer.json()
    if isinstance(body.get("data"), list):
        body["data"] = [entry for entry in body["data"] for _ in range(2)]
    return httpx2.Response(answer.status_code, json=body)


def cut(request, answer):
    content = answer.content[: len(answer.content) // 2]
    return httpx2.Response(200, content=content, headers={"content-type": "application/json"})


NOT_SENT = {
    "refused": lambda r: raises(httpx2.ConnectError("refused", request=r)),
    "429": lambda r: refusal(429, "Slow down.", **{"retry-after-ms": "1500"}),
    "429 date": lambda r: refusal(429, "No.", **{"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}),
}
WITHOUT_ANSWER = {
    "lost": lambda r, _: raises(httpx2.ReadError("lost", request=r)),
    "late": lambda r, _: raises(httpx2.ReadTimeout("late", request=r)),
    "cut off": lambda r, _: raises(httpx2.RemoteProtocolError("cut", request=r)),
    "half": cut,
    "500": lambda r, _: refusal(500, "Broken."),
    "502": lambda r, _: httpx2.Response(502, text="<html>Bad gateway</html>"),
    "503": lambda r, _: refusal(503, "Busy.", **{"retry-after": "2"}),
    "409": lambda r, _: refusal(409, "Conflict."),
    "doubled": doubled,
}
FAULTS = [*NOT_SENT, *WITHOUT_ANSWER]


@pytest.mark.parametrize("seed", range(CASES))
def test_one_job_and_each_event_once(tmp_path, seed):
    rng = random.Random(seed)
    kind = rng.choice(["openai", "openai", "local"])
    # The embedded engine's list is never behind.
    lag_s = rng.choice([0, 2, 10]) if kind == "openai" else 0
    engine = LightEngine(page=rng.choice([1, 2, 3, 50]), lag_s=lag_s)
    chaos = Chaos(engine, rng)
    place = account_in(tmp_path / "home", engine)
    place = replace(place, engine=engine_of(kind), ledger=DyingLedger(place.ledger, chaos))
    spec = spec_in(tmp_path / "spool")
    heard = []

    def tell(news):
        chaos.step()
        if isinstance(news, JobProgress) and news.event_id:
            heard.append(news.event_id)
        chaos.step()

    def life(clock):
        job = yield from submit_once(spec, place)
        patience = Patience(1e6, 5.0, 60.0, clock)
        return (yield from wait_for_job(job.id, patience, place))

    last = None
    for _ in range(PROCESSES):
        clock = Clock(engine)
        try:
            ended = (arun if seed % 2 else run)(life(clock), chaos, clock, tell)
            break
        except (KilledError, FineTuningError) as error:
            # Somebody starts the chain again.
            last = error
    else:
        pytest.fail(f"it never ended: {last!r}")
    [job] = engine.jobs.values()
    assert ended.fine_tuned_model == job["fine_tuned_model"] is not None
    assert len(engine.files) == 1
    # An event that was being told when the process died is told again, under the same id.
    once = [name for name, before in zip(heard, [None, *heard], strict=False) if name != before]
    assert once == [event["id"] for event in engine.events[job["id"]]]
