"""`record`: the answers of a model, before it is switched off."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from langchain_finetune.engines.base import Engine
from langchain_finetune.engines.flow import arun_flow, run_flow
from langchain_finetune.engines.jobs import EngineSilent
from langchain_finetune.errors import FineTuningError
from langchain_finetune.migration.answering import can_store, work
from langchain_finetune.migration.asking import Asking
from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.prices import InferencePrice
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.recorder import Recorder
from langchain_finetune.migration.recording import ModelRecording

_Tell = Callable[[Any], None]


def record(
    model: str,
    sources: Iterable[Any] | None = None,
    *,
    out: str | os.PathLike[str],
    answers: int = 1,
    limit: int = 500,
    held_out: float = 0.2,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    engine: str = "openai",
    base_url: str | None = None,
    api_key: SecretStr | str | None = None,
    price: InferencePrice | None = None,
    max_cost_usd: float | None = None,
    confirm: Callable[[RecordingEstimate], bool] | None = None,
    concurrency: int = 16,
    ask_again: bool = False,
    store: bool = True,
    settle_s: float = 120.0,
    timeout_s: float = 300.0,
    on_progress: Callable[[MigrationProgress], None] | None = None,
) -> ModelRecording:
    """Record what a model answers: each prompt once at temperature 0, and `answers` times more.

    Killed at any moment, the same call goes on where it was. No answer is paid for twice: before a
    request is sent it is on the disk that it will be, and its answer is on the disk before the next
    one. If an outcome is not known, since the process was killed or the connection broke, the
    answer is looked up among the stored chat completions of the account (`store=True`), and asked
    for again only if it is not there `settle_s` seconds later. A server without stored completions
    leaves such an answer unknown: it is counted, and not asked for again unless `ask_again` is set.

    Args:
        model: The model, such as `ft:gpt-4o-mini-2024-07-18:acme::abc`.
        sources: Where the prompts come from: paths as `RunFileChatLoader` takes them (training
            files, exported runs, rescued completions), loaders such as `recent_runs`, or sessions.
            Not read again, unless more prompts or other sources are given than before.
        out: Folder of the recording; created if missing.
        answers: Answers per prompt at the app's own temperature.
        limit: Most prompts. A higher one adds prompts to a recording.
        held_out: Share of the prompts that is never trained on, 0 to less than 1.
        seed: Changes which prompts are drawn, and which are held out.
        settings: Settings that replace those of all prompts, such as `{"temperature": 0.7}`.
            Not what a recording decides, such as `model`, `n`, `stream` or `service_tier`.
        engine: The engine: `openai` for each server of OpenAI's API.
        base_url: Its address; by default its own.
        api_key: Its key; by default from its environment variable. It is written nowhere.
        price: The price of the answers, if it is not known.
        max_cost_usd: Most that all answers of the recording together may cost. It is not exceeded:
            an answer is asked for only if there is room for the longest one.
        confirm: Is given the estimate; nothing is sent unless it returns true.
        concurrency: Most requests at the same time. Rate limits are obeyed as well.
        ask_again: Ask again for answers that are unknown (they may be paid for twice then), and
            for those that the server refused.
        store: Let the server store the completions, to find those that were not received.
        settle_s: How long a stored completion may take to be listed, in seconds.
        timeout_s: Most seconds of a request.
        on_progress: Is told of each answer.

    Returns:
        The recording.

    Raises:
        BudgetError: It would cost more than `max_cost_usd`, was not confirmed, or neither of the
            two was given.
        EngineError: The server refuses, does not answer, or has no such model (any more). What was
            recorded until then is kept.
        LoadError: A source can't be read.
        FineTuningError: Another process records into the folder, it holds another recording or
            one with other settings of the selection, or there are no prompts.

    Example:
        ```python
        recording = record(
            "ft:gpt-4o-mini-2024-07-18:acme::abc",
            ["rescued/", recent_runs("ft:gpt-4o-mini-2024-07-18:acme::abc", "calculator")],
            out="recorded",
            max_cost_usd=5,
        )
        print(recording.manifest.outcomes, recording.manifest.usd)
        ```
    """
    recorder = Recorder(
        model, sources, Path(out), answers, limit, held_out, seed, settings, engine, base_url,
        api_key, price, max_cost_usd, confirm, concurrency, ask_again, store, settle_s, timeout_s,
    )  # fmt: skip
    recorder.open()
    try:
        asking = recorder.ask_for()
        if asking.tasks:
            recorder.check_cost()
            with recorder.engine.client(recorder.access) as client:
                tell = _teller(recorder.engine, client, on_progress)
                if store:
                    run_flow(can_store(asking), client, tell, asking.sleep)
                recorder.begin()
                _work_in_threads(asking, client, tell, concurrency)
    finally:
        recorder.close()
    if asking.error is not None:
        raise asking.error
    return recorder.result()


async def arecord(
    model: str,
    sources: Iterable[Any] | None = None,
    *,
    out: str | os.PathLike[str],
    answers: int = 1,
    limit: int = 500,
    held_out: float = 0.2,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    engine: str = "openai",
    base_url: str | None = None,
    api_key: SecretStr | str | None = None,
    price: InferencePrice | None = None,
    max_cost_usd: float | None = None,
    confirm: Callable[[RecordingEstimate], bool] | None = None,
    concurrency: int = 16,
    ask_again: bool = False,
    store: bool = True,
    settle_s: float = 120.0,
    timeout_s: float = 300.0,
    on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
) -> ModelRecording:
    """Record what a model answers, without blocking the event loop; see `record`.

    If it is cancelled, requests that are on their way are cut off; their answers are looked up by
    the next call, if the server stores them. `confirm` is called in a thread.
    """
    recorder = Recorder(
        model, sources, Path(out), answers, limit, held_out, seed, settings, engine, base_url,
        api_key, price, max_cost_usd, confirm, concurrency, ask_again, store, settle_s, timeout_s,
    )  # fmt: skip
    await asyncio.to_thread(recorder.open)
    try:
        asking = await asyncio.to_thread(recorder.ask_for)
        if asking.tasks:
            await asyncio.to_thread(recorder.check_cost)
            async with recorder.engine.aclient(recorder.access) as client:
                await _work_in_tasks(recorder, asking, client, on_progress, concurrency)
    finally:
        await asyncio.to_thread(recorder.close)
    if asking.error is not None:
        raise asking.error
    return recorder.result()


def _teller(
    engine: Engine, client: Any, on_progress: Callable[[MigrationProgress], None] | None
) -> _Tell:
    lock = threading.Lock()

    def tell(news: Any) -> None:
        if isinstance(news, EngineSilent):
            engine.reconnect(client)
        elif on_progress is not None:
            with lock:  # One call at a time, whatever thread has news.
                on_progress(news)

    return tell


def _work_in_threads(asking: Asking, client: Any, tell: _Tell, concurrency: int) -> None:
    def run() -> None:
        try:
            run_flow(work(asking), client, tell, asking.sleep)
        except (FineTuningError, OSError) as error:
            # OSError: the disk is full. The others finish what they have asked for.
            asking.stop(error)
        except BaseException:
            asking.stop()
            raise

    with ThreadPoolExecutor(min(concurrency, len(asking.tasks))) as pool:
        workers = [pool.submit(run) for _ in range(min(concurrency, len(asking.tasks)))]
        try:
            for worker in workers:
                worker.result()
        except BaseException:
            # Ctrl-C: what is on its way was paid for, so it is waited for.
            asking.stop()
            raise


async def _work_in_tasks(
    recorder: Recorder,
    asking: Asking,
    client: Any,
    on_progress: Callable[[MigrationProgress], Awaitable[None]] | None,
    concurrency: int,
) -> None:
    lock = asyncio.Lock()

    async def tell(news: Any) -> None:
        if isinstance(news, EngineSilent):
            await asyncio.to_thread(recorder.engine.reconnect, client)
        elif on_progress is not None:
            async with lock:
                await on_progress(news)

    async def sleep(seconds: float) -> None:
        while seconds > 0 and not asking.stopped:
            await asyncio.sleep(min(seconds, _LOOK_S))
            seconds -= _LOOK_S

    async def run() -> None:
        try:
            await arun_flow(work(asking), client, tell, sleep)
        except (FineTuningError, OSError) as error:
            asking.stop(error)
        except BaseException:
            asking.stop()
            raise

    if recorder.store:
        await arun_flow(can_store(asking), client, tell, sleep)
    await asyncio.to_thread(recorder.begin)
    workers = [asyncio.create_task(run()) for _ in range(min(concurrency, len(asking.tasks)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


_LOOK_S = 0.2
"""How often a sleeping worker looks whether it shall stop."""
