"""How well a base learns the walkthroughs: base against tuned.

The first one's calls are counted over several seeds, the second one's triples by two folds: each
half of the dataset is answered by a model that was trained on the other half. Runs on an engine of
its own in a temporary home; an added base is taken from the usual one:

    PYTHONPATH=scripts .venv/bin/python scripts/bench/heldout.py [--base smollm2-135m --seeds 1]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from langchain_openai import ChatOpenAI
from langsmith import Client, tracing_context
from rich.console import Console
from rich.table import Table

from langchain_finetune import (
    Convert,
    FineTune,
    Hyperparameters,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
)
from langchain_finetune.engines.local import EngineAddress, ensure_engine, stop_engine
from langchain_finetune.evaluation.statistics import PairedSample, interval
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.local.base_library import NANO
from langchain_finetune.local.base_models import resolve_base
from walkthrough.calculator import tools_chain
from walkthrough.evaluate import Score, evaluate, total
from walkthrough.extraction import SENTENCES, conversation, score, upload_dataset
from walkthrough.questions import LANGUAGES, held_out, reworded
from walkthrough.teacher import RuleBasedTeacher
from walkthrough.traffic import SUCCEEDED_AND_LIKED, record_traffic

HELD_OUT = 28
REWORDED = 24
EPOCHS_OF_EXTRACTION = 10


def main() -> None:
    """Measure and print one table, and the scores of the extraction."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default=NANO)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["calls", "extraction"])
    given = parser.parse_args()
    # Of the usual home: an added base is no base of the temporary one.
    base = given.base if given.base == NANO else str(resolve_base(given.base))
    table = Table(title="Right calls on numbers that no training has seen")
    for column in ("model", *LANGUAGES, "all", "to the first right answer"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        engine = ensure_engine(Path(home))
        client = Client(api_url=engine.url, api_key=engine.api_key.get_secret_value())
        try:
            if given.only != "extraction":
                _measure(engine, client, base, table, seeds=given.seeds)
            if given.only != "calls":
                _measure_extraction(engine, client, base)
        finally:
            stop_engine(Path(home))


def _measure(engine: EngineAddress, client: Client, base: str, table: Table, *, seeds: int) -> None:
    with tracing_context(enabled=True, client=client, project_name="calculator"):
        record_traffic(RuleBasedTeacher(), client, "calculator")
    loader = LangSmithRunChatLoader(
        project_name="calculator", client=client, trace_filter=SUCCEEDED_AND_LIKED
    )
    table.add_row("base", *_cells(evaluate(_untuned(engine, base), held_out(HELD_OUT))), "")
    for seed in range(1, seeds + 1):
        began = time.monotonic()
        tuned = (loader | Convert() | _step(base, seed)).invoke({})
        right = tools_chain(tuned).invoke({"input": "What's 56/7?"}) == 56 / 7
        seconds = f"{time.monotonic() - began:.1f} s" if right else "not right"
        table.add_row(f"seed {seed}", *_cells(evaluate(tuned, held_out(HELD_OUT, seed))), seconds)
        found = evaluate(tuned, reworded(REWORDED, seed))
        table.add_row(f"seed {seed}, new wordings", *_cells(found), "")
    Console().print(table)


def _measure_extraction(engine: EngineAddress, client: Client, base: str) -> None:
    sentences = SENTENCES[5:]
    scores: list[tuple[float, float]] = []
    for fold in (0, 1):
        name = f"extraction-{fold}"
        upload_dataset(client, name, sentences[1 - fold :: 2])
        loader = LangSmithDatasetChatLoader(dataset_name=name, client=client)
        step = _step(base, 1, n_epochs=EPOCHS_OF_EXTRACTION)
        models = (_untuned(engine, base), (loader | Convert() | step).invoke({}))
        asked = sentences[fold::2]
        answers = [
            model.bind(max_tokens=96).batch(
                [conversation(each) for each in asked], {"max_concurrency": 4}
            )
            for model in models
        ]
        scores += [
            (score(str(before.content), sentence), score(str(after.content), sentence))
            for sentence, before, after in zip(asked, *answers, strict=True)
        ]
    pairs = [(str(number), after - before) for number, (before, after) in enumerate(scores)]
    sample = PairedSample.of(pairs)
    low, high = interval(sample)
    before, after = (sum(each) / len(scores) for each in zip(*scores, strict=True))
    whole = [sum(each == 1 for each in column) for column in zip(*scores, strict=True)]
    print(
        f"Extraction, {len(scores)} sentences: parts right {before:.2f} by the base, {after:.2f} by"
        f" the tuned models, difference {sample.mean:+.2f} (95%: {low:+.2f} to {high:+.2f}); whole"
        f" triples right {whole[0]} and {whole[1]}"
    )


def _untuned(engine: EngineAddress, base: str) -> ChatOpenAI:
    return ChatOpenAI(model=base, base_url=engine.base_url, api_key=engine.api_key, temperature=0)


def _step(base: str, seed: int, **hyperparameters: int) -> FineTune:
    return FineTune(
        model=base,
        engine="local",
        seed=seed,
        hyperparameters=Hyperparameters(**hyperparameters),
        chat_settings={"temperature": 0},
        reuse=False,
    )


def _cells(score: Score) -> list[str]:
    right, count = total(score)
    cells = ["/".join(map(str, score[language])) for language in LANGUAGES]
    return [*cells, f"{right}/{count} = {right / count:.0%}"]


if __name__ == "__main__":
    main()
