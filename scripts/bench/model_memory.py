"""Many models behind a memory bound: does the engine stay within it, and answer right?

Models of random weights, each its own, are asked one after the other, and then all at once by
several clients that take them in different orders. What the process has in memory is watched.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/model_memory.py [MODELS] [MB_EACH] [FIT]
"""

import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from openai import OpenAI

import langchain_finetune
from bench.engine_process import engine_process

NANO = Path(langchain_finetune.__file__).parent / "local" / "nano"
CLIENTS = 4


@dataclass(frozen=True)
class Measured:
    """What came out, in bytes and seconds.

    Attributes:
        model: Size of one model's weights.
        bound: Most bytes of models, as the engine was told.
        start: Memory of the engine that has imported all it needs, with one model of no size.
        peak: Most memory that it had.
        distinct: How many of the models gave an answer of their own.
        wrong: Answers that were not those of the model that was asked.
        answers: How many there were while clients took turns.
        seconds: How long those took.
    """

    model: int
    bound: int
    start: int
    peak: int
    distinct: int
    wrong: int
    answers: int
    seconds: float

    @property
    def slack(self) -> int:
        """How far the peak was above the start and the bound; below it where negative."""
        return self.peak - self.start - self.bound


def measure(models: int, megabytes: int, fit: int, *, rounds: int = 2) -> Measured:
    """Serve many models with a bound that a few of them fit into."""
    with tempfile.TemporaryDirectory() as folder:
        folders = list(_made(Path(folder), models, megabytes))
        size = (folders[0] / "model.safetensors").stat().st_size
        bound = size * fit + size // 2
        with _engine(Path(folder) / "home", bound) as (client, process):
            _ask(client, NANO)
            start = process.memory_info().rss
            with _watched(process) as seen:
                right = {each: _ask(client, each) for each in folders}
                began = time.perf_counter()
                with ThreadPoolExecutor(CLIENTS) as clients:
                    wrong = sum(
                        clients.map(
                            lambda seed: _turns(client, right, seed), range(CLIENTS * rounds)
                        )
                    )
                seconds = time.perf_counter() - began
            answers = models * CLIENTS * rounds
            distinct = len(set(right.values()))
            return Measured(size, bound, start, max(seen), distinct, wrong, answers, seconds)


def _turns(client: OpenAI, right: dict[Path, str], seed: int) -> int:
    """Ask all models in an order of this client's own; return how many answers were not right."""
    order = list(right)
    random.Random(seed).shuffle(order)
    return sum(_ask(client, each) != right[each] for each in order)


def _ask(client: OpenAI, model: Path) -> str:
    answer = client.completions.create(
        model=str(model), prompt="Once upon a time", max_tokens=8, temperature=0
    )
    return answer.choices[0].text


def _made(folder: Path, models: int, megabytes: int) -> Iterator[Path]:
    import torch  # noqa: PLC0415 - seconds
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()
    config = AutoConfig.from_pretrained(NANO)
    config.dtype = torch.float32
    config.hidden_size, config.intermediate_size = 256, 1024
    # A layer has some 4 * 256 * 128 + 3 * 256 * 1024 weights, the vocabulary 2457 * 256.
    config.num_hidden_layers = max(1, round((megabytes * 1e6 / 4 - 629_000) / 917_000))
    for number in range(models):
        torch.manual_seed(number)
        made = folder / f"model-{number}"
        AutoModelForCausalLM.from_config(config).save_pretrained(made)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy(NANO / name, made)
        yield made


@contextmanager
def _engine(home: Path, bound: int) -> Iterator[tuple[OpenAI, psutil.Process]]:
    with (
        engine_process(home, "--model-memory", str(bound)) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key=running.key) as client,
    ):
        yield client, running.process


@contextmanager
def _watched(process: psutil.Process) -> Iterator[list[int]]:
    """Yield the sizes that the process had, as they are seen."""
    seen = [process.memory_info().rss]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            seen.append(process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        done.set()
        watching.join()


def main() -> None:
    """Measure and print."""
    models, megabytes, fit = (*map(int, sys.argv[1:]), *(30, 60, 4)[len(sys.argv) - 1 :])
    got = measure(models, megabytes, fit)
    print(
        f"{models} models of {got.model / 1e6:.1f} MB, {models * got.model / 1e6:.0f} MB together,"
        f" bound {got.bound / 1e6:.0f} MB\n"
        f"memory: start {got.start / 1e6:.0f} MB, peak {got.peak / 1e6:.0f} MB,"
        f" which is start + bound {got.slack / 1e6:+.0f} MB\n"
        f"answers: {got.distinct} models of {models} answer in their own way;"
        f" {got.wrong} wrong of {got.answers} with {CLIENTS} clients at once,"
        f" {got.answers / got.seconds:.1f} a second"
    )


if __name__ == "__main__":
    main()
