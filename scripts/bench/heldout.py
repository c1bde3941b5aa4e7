"""How well `nano` learns the walkthrough: base against tuned, over three seeds.

Runs on an engine of its own in a temporary home:

    PYTHONPATH=scripts .venv/bin/python scripts/bench/heldout.py
"""

import os
import tempfile
import time
from pathlib import Path

from langchain_openai import ChatOpenAI
from langsmith import Client, tracing_context
from rich.console import Console
from rich.table import Table

from langchain_finetune import Convert, FineTune, LangSmithRunChatLoader
from langchain_finetune.engines.local import EngineAddress, ensure_engine, stop_engine
from langchain_finetune.home import HOME_VARIABLE
from walkthrough.calculator import tools_chain
from walkthrough.evaluate import Score, evaluate, total
from walkthrough.questions import LANGUAGES, held_out, reworded
from walkthrough.teacher import RuleBasedTeacher
from walkthrough.traffic import SUCCEEDED_AND_LIKED, record_traffic

SEEDS = (1, 2, 3)
HELD_OUT = 28
REWORDED = 24


def main() -> None:
    """Measure and print one table."""
    table = Table(title="Right calls on numbers that no training has seen")
    for column in ("model", *LANGUAGES, "all", "to the first right answer"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        engine = ensure_engine(Path(home))
        try:
            _measure(engine, table)
        finally:
            stop_engine(Path(home))
    Console().print(table)


def _measure(engine: EngineAddress, table: Table) -> None:
    client = Client(api_url=engine.url, api_key=engine.api_key.get_secret_value())
    with tracing_context(enabled=True, client=client, project_name="calculator"):
        record_traffic(RuleBasedTeacher(), client, "calculator")
    loader = LangSmithRunChatLoader(
        project_name="calculator", client=client, trace_filter=SUCCEEDED_AND_LIKED
    )
    base = ChatOpenAI(model="nano", base_url=engine.base_url, api_key=engine.api_key, temperature=0)
    table.add_row("base", *_cells(evaluate(base, held_out(HELD_OUT))), "")
    for seed in SEEDS:
        step = FineTune(
            model="nano",
            engine="local",
            seed=seed,
            chat_settings={"temperature": 0},
            reuse=False,
        )
        began = time.monotonic()
        tuned = (loader | Convert() | step).invoke({})
        right = tools_chain(tuned).invoke({"input": "What's 56/7?"}) == 56 / 7
        seconds = f"{time.monotonic() - began:.1f} s" if right else "not right"
        table.add_row(f"seed {seed}", *_cells(evaluate(tuned, held_out(HELD_OUT, seed))), seconds)
        score = evaluate(tuned, reworded(REWORDED, seed))
        table.add_row(f"seed {seed}, new wordings", *_cells(score), "")


def _cells(score: Score) -> list[str]:
    right, count = total(score)
    cells = ["/".join(map(str, score[language])) for language in LANGUAGES]
    return [*cells, f"{right}/{count} = {right / count:.0%}"]


if __name__ == "__main__":
    main()
