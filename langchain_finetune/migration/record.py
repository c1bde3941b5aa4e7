"""`record`: the answers of a model, before it is switched off."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from langchain_finetune.migration.estimate import RecordingEstimate
from langchain_finetune.migration.progress import MigrationProgress
from langchain_finetune.migration.recorder import Recorder
from langchain_finetune.migration.recording import ModelRecording
from langchain_finetune.migration.settings import RecordingSettings


def record(
    model: str,
    sources: Iterable[Any] | None = None,
    *,
    out: str | os.PathLike[str],
    max_cost_usd: float | None = None,
    confirm: Callable[[RecordingEstimate], bool] | None = None,
    on_progress: Callable[[MigrationProgress], None] | None = None,
    **further: Any,
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
        max_cost_usd: Most that all answers of the recording together may cost. It is not exceeded:
            an answer is asked for only if there is room for the longest one.
        confirm: Is given the estimate; nothing is sent unless it returns true.
        on_progress: Called after each answer.
        further: Any of the following.

    Keyword Args:
        answers (int): Answers per prompt at the app's own temperature, by default 1.
        limit (int): Most prompts, by default 500. A higher one adds prompts to a recording.
        held_out (float): Share of the prompts that is never trained on, 0 to less than 1; by
            default 0.2.
        seed (int): Changes which prompts are drawn, and which are held out.
        settings (dict[str, Any]): Settings that replace those of all prompts, such as
            `{"temperature": 0.7}`. Not what a recording decides, such as `model`, `n`, `stream` or
            `service_tier`.
        engine (str): The engine: `openai` for each server of OpenAI's API.
        base_url (str): Its address; by default its own.
        api_key (SecretStr | str): Its key; by default from its environment variable. It is written
            nowhere.
        price (InferencePrice): The price of the answers, if it is not known.
        concurrency (int): Most requests at the same time, by default 16. Rate limits are obeyed as
            well.
        ask_again (bool): Ask again for answers that are unknown (they may be paid for twice then),
            and for those that the server refused.
        store (bool): Let the server store the completions, to find those that were not received.
        settle_s (float): How long a stored completion may take to be listed, in seconds; by
            default 120.
        timeout_s (float): Most seconds of a request, by default 300.

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
    limits = {"max_cost_usd": max_cost_usd, "confirm": confirm}
    given = {"model": model, "sources": sources, "out": Path(out), **limits, **further}
    recorder = Recorder(RecordingSettings(**given))
    recorder.open()
    try:
        if recorder.asking.tasks:
            recorder.check_cost()
            recorder.connection.run(recorder.ask, on_progress, recorder.asking.sleep)
    finally:
        recorder.close()
    return recorder.result()


async def arecord(
    model: str,
    sources: Iterable[Any] | None = None,
    *,
    out: str | os.PathLike[str],
    max_cost_usd: float | None = None,
    confirm: Callable[[RecordingEstimate], bool] | None = None,
    on_progress: Callable[[MigrationProgress], Awaitable[None]] | None = None,
    **further: Any,
) -> ModelRecording:
    """Record what a model answers, without blocking the event loop; see `record`.

    If it is cancelled, requests that are on their way are cut off; their answers are looked up by
    the next call, if the server stores them. `confirm` is called in a thread.
    """
    limits = {"max_cost_usd": max_cost_usd, "confirm": confirm}
    given = {"model": model, "sources": sources, "out": Path(out), **limits, **further}
    recorder = Recorder(RecordingSettings(**given))
    await asyncio.to_thread(recorder.open)
    try:
        if recorder.asking.tasks:
            await asyncio.to_thread(recorder.check_cost)
            await recorder.connection.arun(recorder.ask, on_progress, recorder.asking.asleep)
    finally:
        await asyncio.to_thread(recorder.close)
    return recorder.result()
