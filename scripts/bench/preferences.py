"""What DPO and KTO do to a model that was taught wrong answers as often as right ones.

`nano` learns the walkthrough's calculator calls, each once with the right operation and once with
another; then preferences for the right ones: pairs with DPO, and with KTO one thumb for each
question, up for the right call or down for the wrong one. Asked about numbers that it has not seen,
how often does it call rightly before and after?

    PYTHONPATH=scripts .venv/bin/python scripts/bench/preferences.py [LEARNING_RATE_MULTIPLIER ...]
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import ChatOpenAI
from openai import OpenAI
from rich.console import Console
from rich.table import Table

from langchain_finetune.engines.local import EngineAddress, ensure_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE
from walkthrough.calculator import SYSTEM_PROMPT, Calculator
from walkthrough.evaluate import evaluate, total
from walkthrough.questions import Question, asked, held_out

HELD_OUT = 20
OTHER = {"/": "*", "*": "+", "+": "-", "-": "/"}


def main() -> None:
    """Measure and print one table."""
    multipliers = [float(given) for given in sys.argv[1:]] or [1.0]
    columns = ("model", "right calls", "held-out margin", "held-out loss", "seconds")
    table = Table(*columns, title="Right calls on numbers that no training has seen")
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        engine = ensure_engine(Path(home))
        client = OpenAI(base_url=engine.base_url, api_key=engine.api_key.get_secret_value())
        try:
            _measure(engine, client, table, multipliers)
        finally:
            stop_engine(Path(home))
    Console().print(table)


def _measure(
    engine: EngineAddress, client: OpenAI, table: Table, multipliers: Iterable[float]
) -> None:
    chats = _upload(
        client, (chat(each, right=right) for each in asked() for right in (True, False))
    )
    job, seconds = _train(client, model="nano", training_file=chats)
    mixed = job.fine_tuned_model
    table.add_row("taught both", _right(engine, mixed), "", "", f"{seconds:.1f}")
    for method, lines_of in (("dpo", _pairs), ("kto", _thumbs)):
        lines = _upload(client, lines_of(asked()))
        held_out_lines = _upload(client, lines_of(held_out(HELD_OUT)))
        for multiplier in multipliers:
            settings = {"learning_rate_multiplier": multiplier}
            job, seconds = _train(
                client,
                model=mixed,
                training_file=lines,
                validation_file=held_out_lines,
                method={"type": method, method: {"hyperparameters": settings}},
            )
            checkpoint = max(
                client.fine_tuning.jobs.checkpoints.list(job.id), key=lambda each: each.step_number
            )
            measured = checkpoint.metrics.to_dict()
            epochs = job.to_dict()["method"][method]["hyperparameters"]["n_epochs"]
            table.add_row(
                f"{method.upper()}, rate x {multiplier:g}, {epochs} epochs",
                _right(engine, job.fine_tuned_model),
                f"{measured['valid_reward_margin']:.2f}",
                f"{measured['valid_loss']:.3f}",
                f"{seconds:.1f}",
            )


def _train(client: OpenAI, **options: Any) -> tuple[Any, float]:
    began = time.monotonic()
    job = client.fine_tuning.jobs.create(seed=1, **options)
    while job.status not in {"succeeded", "failed"}:
        time.sleep(0.2)
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", job.error
    return job, time.monotonic() - began


def _upload(client: OpenAI, lines: Iterable[dict[str, Any]]) -> str:
    content = "\n".join(map(json.dumps, lines)).encode()
    return client.files.create(file=("lines.jsonl", content), purpose="fine-tune").id


def _pairs(questions: Iterable[Question]) -> Iterator[dict[str, Any]]:
    for question in questions:
        right, wrong = chat(question, right=True), chat(question, right=False)
        yield {
            "input": {"messages": right["messages"][:-1], "tools": right["tools"]},
            "preferred_output": right["messages"][-1:],
            "non_preferred_output": wrong["messages"][-1:],
        }


def _thumbs(questions: Iterable[Question]) -> Iterator[dict[str, Any]]:
    order = random.Random(1)
    for question in questions:
        right = order.random() < 0.5
        yield {**chat(question, right=right), "label": right}


def chat(question: Question, *, right: bool) -> dict[str, Any]:
    """Return the line that teaches a call, or another operation in its place."""
    arguments = {name: asdict(question)[name] for name in ("num1", "num2", "operation")}
    if not right:
        arguments["operation"] = OTHER[question.operation]
    function = {"name": "Calculator", "arguments": json.dumps(arguments)}
    call = {"id": "call_1", "type": "function", "function": function}
    return {
        "messages": [
            {"role": "system", "content": SYSTEM_PROMPT},
            {"role": "user", "content": question.text},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "tools": [convert_to_openai_tool(Calculator)],
    }


def _right(engine: EngineAddress, model: str) -> str:
    chat = ChatOpenAI(model=model, base_url=engine.base_url, api_key=engine.api_key, temperature=0)
    right, count = total(evaluate(chat, held_out(HELD_OUT)))
    return f"{right}/{count} = {right / count:.0%}"


if __name__ == "__main__":
    main()
