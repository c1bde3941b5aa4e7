"""Cancelling and Ctrl-C end the wait at once; `on_cancel` says what becomes of the job."""

import asyncio
import contextlib
import threading
import time

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from langchain_finetune import Convert, FineTune, Job
from langchain_finetune.finetune.callbacks import PROGRESS_EVENT
from langchain_finetune.home import HOME_VARIABLE
from support.jobs import chats, quick_flows
from support.light_engine import LightEngine, app_of, refusal
from support.servers import served

BOTH = pytest.mark.parametrize("on_cancel", ["keep", "cancel"])


@pytest.fixture
def engine():
    return LightEngine(now=time.time(), ends_as="odd_for_ever")


@pytest.fixture
def examples():
    return Convert().invoke(chats())


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Make a step whose engine is an answering function."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(quick_flows())

        def chain(handler, on_cancel):
            url = stack.enter_context(served(app_of(handler)))
            return FineTune(model="m", base_url=f"{url}/v1", api_key="k", on_cancel=on_cancel)

        yield chain


class Hears(BaseCallbackHandler):
    raise_error = True

    def __init__(self, then):
        self.then = then

    def on_custom_event(self, name, *_, **__):
        if name == PROGRESS_EVENT:
            self.then()


def interrupt(*_):
    raise KeyboardInterrupt


@BOTH
async def test_cancelling_stops_at_once(chain, examples, engine, on_cancel):
    waiting = asyncio.Event()
    step = chain(engine, on_cancel)
    task = asyncio.create_task(step.ainvoke(examples, {"callbacks": [Hears(waiting.set)]}))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
    [job] = engine.jobs.values()
    assert (job["status"] == "cancelled") == (on_cancel == "cancel")
    asked = len(engine.asked)
    await asyncio.sleep(0.1)
    assert len(engine.asked) == asked


@BOTH
def test_ctrl_c_stops_too(chain, examples, engine, on_cancel):
    step = chain(engine, on_cancel)
    with pytest.raises(KeyboardInterrupt):
        step.invoke(examples, {"callbacks": [Hears(interrupt)]})
    [job] = engine.jobs.values()
    assert (job["status"] == "cancelled") == (on_cancel == "cancel")


def test_that_a_job_can_not_be_cancelled_is_said(chain, examples, engine):
    def handler(request):
        return refusal(403, "No.") if request.url.path.endswith("cancel") else engine(request)

    step = chain(handler, "cancel")
    with pytest.raises(KeyboardInterrupt) as caught:
        step.invoke(examples, {"callbacks": [Hears(interrupt)]})
    assert "could not be cancelled and may go on" in caught.value.__notes__[0]


@BOTH
async def test_cancelling_while_the_job_is_made(chain, examples, engine, on_cancel):
    made, cancelled = threading.Event(), threading.Event()

    def handler(request):
        answer = engine(request)
        if request.method == "POST" and request.url.path.endswith("/jobs"):
            made.set()
            assert cancelled.wait(60)
        return answer

    step = chain(handler, on_cancel)
    task = asyncio.create_task(step.ainvoke(examples))
    await asyncio.to_thread(made.wait)
    task.cancel()
    # The answer comes when the task has heard of it.
    await asyncio.sleep(0)
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
    [job] = engine.jobs.values()
    assert (job["status"] == "cancelled") == (on_cancel == "cancel")
    again = await step.asubmit(examples)
    assert (again.job_id == job["id"]) == (on_cancel == "keep")


@BOTH
def test_ctrl_c_while_the_job_is_made(chain, examples, engine, on_cancel, monkeypatch):
    step = chain(engine, on_cancel)
    with monkeypatch.context() as patch:
        patch.setattr(Job, "of", interrupt)
        with pytest.raises(KeyboardInterrupt):
            step.invoke(examples)
    [job] = engine.jobs.values()
    assert (job["status"] == "cancelled") == (on_cancel == "cancel")
    assert (step.submit(examples).job_id == job["id"]) == (on_cancel == "keep")
