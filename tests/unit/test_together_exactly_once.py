"""One job, one endpoint, one bill at Together, whatever the wire does and whenever we die.

The real SDK asks over a real socket. A seed says what becomes of each request, and before or after
which one, or which note in the ledger, the process ends.
"""

import asyncio
import os
import random
from dataclasses import replace

import httpx
import pytest
from fastapi import Response
from together import AsyncTogether, Together

from langchain_finetune import TogetherDeployment
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.flow import Patience, arun_flow, run_flow
from langchain_finetune.engines.jobs import JobProgress
from langchain_finetune.errors import FineTuningError
from langchain_finetune.finetune.connection import Account
from langchain_finetune.finetune.job_queries import answering_model
from langchain_finetune.finetune.ledger import Ledger
from langchain_finetune.finetune.submit import submit_once
from langchain_finetune.finetune.wait import wait_for_job
from support.dying_ledger import DyingLedger
from support.jobs import Clock, spec_in
from support.servers import served
from support.together_host import BASE, KEY, TogetherHost, app_of

CASES = int(os.environ.get("FUZZ_CASES", "60"))
PROCESSES = 400
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}\n'


class KilledError(BaseException):
    """The process ends here: no handler may run any more."""


class Chaos:
    """What becomes of requests, and when the process ends."""

    def __init__(self, rng):
        self.rng = rng
        self.faults = rng.uniform(0, 0.25)
        self.deaths = rng.uniform(0, 0.04)

    def step(self, *_):
        if self.rng.random() < self.deaths:
            raise KilledError

    async def astep(self, *_):
        self.step()

    async def around(self, request, plain):
        kind = self.rng.choice(FAULTS) if self.rng.random() < self.faults else None
        if kind == "not done":
            return Response('{"error": {"message": "Busy."}}', 503, {"retry-after": "2"})
        if kind == "slow down":
            return Response('{"error": {"message": "Slow down."}}', 429)
        answer = await plain()
        if kind is None:
            return answer
        if kind == "page":
            return Response("<html>Bad gateway</html>", 502, media_type="text/html")
        if kind == "broken":
            return Response('{"error": {"message": "Broken."}}', 500)
        content = answer.body[: len(answer.body) // 2]
        if kind == "half":
            return Response(content, 200, media_type="application/json")
        # Less than was promised: the connection is cut.
        return CutResponse(content, 200, {"content-length": str(len(content) + 10)})


FAULTS = ["not done", "slow down", "page", "broken", "half", "cut"]


class CutResponse(Response):
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def run(flow, url, clock, chaos, tell):
    hooks = {"request": [chaos.step], "response": [chaos.step]}
    with httpx.Client(event_hooks=hooks, follow_redirects=True, verify=False) as http:
        client = Together(base_url=url, api_key=KEY, max_retries=0, http_client=http)
        return run_flow(flow, client, tell, clock.sleep)


def arun(flow, url, clock, chaos, tell):
    async def asleep(seconds):
        clock.sleep(seconds)

    async def atell(news):
        tell(news)

    async def main():
        hooks = {"request": [chaos.astep], "response": [chaos.astep]}
        async with httpx.AsyncClient(event_hooks=hooks, verify=False) as http:
            client = AsyncTogether(base_url=url, api_key=KEY, max_retries=0, http_client=http)
            return await arun_flow(flow, client, atell, asleep)

    return asyncio.run(main())


@pytest.mark.parametrize("seed", range(CASES))
def test_one_job_one_endpoint_and_one_bill(tmp_path, seed):
    rng = random.Random(seed)
    host = TogetherHost(lag_s=rng.choice([0, 5, 30]), looks_until_ready=rng.choice([1, 3]))
    chaos = Chaos(rng)
    with served(app_of(host, chaos.around)) as url:
        host.url = url
        ledger = DyingLedger(Ledger(tmp_path / "home"), chaos)
        account = Account(engine_of("together"), url, "account", ledger, lambda: host.now)
        spec = spec_in(tmp_path / "spool", ROW * 12, model=BASE, max_cost_usd=10.0)
        deployment = TogetherDeployment(name="calculator")
        heard = []

        def tell(news):
            chaos.step()
            if isinstance(news, JobProgress) and news.event_id:
                heard.append(news.event_id)

        def life(clock):
            job = yield from submit_once(spec, account)
            yield from wait_for_job(job.id, Patience(1e6, 5.0, 60.0, clock), account)
            return (yield from answering_model(job.id, BASE, None, deployment, account))

        last = None
        for _ in range(PROCESSES):
            try:
                clock = Clock(host)
                name = (arun if seed % 2 else run)(life(clock), url, clock, chaos, tell)
                break
            except (KilledError, FineTuningError) as error:
                # Somebody starts the chain again.
                last = error
        else:
            pytest.fail(f"it never ended: {last!r}")
    assert name == "acme/calculator"
    assert len(host.jobs) == len(host.files) == len(host.endpoints) == 1
    [deployment] = host.running()
    assert list(host.deployments.values()) == [deployment]
    [endpoint] = host.endpoints.values()
    assert [entry["deploymentId"] for entry in endpoint["trafficSplit"]] == [deployment["id"]]
    once = [each for each, before in zip(heard, [None, *heard], strict=False) if each != before]
    assert len(once) == len(set(once))
    assert len(once) == 5 + 3


@pytest.mark.parametrize("seed", range(max(CASES // 4, 1)))
def test_a_deployment_that_never_answers_does_not_run_on(tmp_path, seed):
    rng = random.Random(seed)
    host = TogetherHost(lag_s=rng.choice([0, 30]), looks_until_ready=10**6)
    chaos = Chaos(rng)
    chaos.deaths = 0
    with served(app_of(host, chaos.around)) as url:
        host.url = url
        account = Account(
            engine_of("together"), url, "account", Ledger(tmp_path / "home"), lambda: host.now
        )
        spec = spec_in(tmp_path / "spool", ROW * 12, model=BASE)
        clock = Clock(host)
        engine = replace(account.api)
        deployment = TogetherDeployment(name="calculator")

        def life():
            job = yield from submit_once(spec, account)
            status = yield from wait_for_job(job.id, Patience(1e6, 5.0, 60.0, clock), account)
            patience = Patience(120.0, 10.0, 10.0, clock)
            return (yield from engine.deploy(status, BASE, deployment, patience))

        with pytest.raises(FineTuningError) as told:
            run(life(), url, clock, chaos, lambda _: None)
    stops_by_itself = any(
        "stops by itself" in note for note in getattr(told.value.__cause__, "__notes__", ())
    )
    assert host.running() == [] or stops_by_itself
    assert len(host.jobs) <= 1
