"""CPU time from runs to training lines, against orjson alone and against langchain-community.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/convert.py

Every way reads the same files of made-up runs of an agent (`agent_runs.py`): ten messages, three
or four calls, six tools. Ratios are of CPU times in this process, file by file; the median counts.

- orjson: `orjson.dumps(orjson.loads(line))` of each line. The promise: at most 0.8 x of it, from
  the bytes of a run to those of a line that breaks no rule; and at most 2 x with all that a
  loader and `Convert` do by default (secrets, duplicates). What the loader's and the steps'
  iterators add is a row of its own.
- langchain-community: its loader and its converter, with Python's `json` as LangSmith's client
  uses it, and the runs in a list as its guide has it; also fed run by run. The promise: 14 x as
  fast as its guide. Its loader fails on today's runs, so it gets them in the shape of 2023
  (flattened before the clock runs). It loses all tools and the calls of all answers.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from bench.agent_runs import agent_run
from langchain_finetune import Convert, RunFileChatLoader
from langchain_finetune.checks import OPENAI
from langchain_finetune.convert.check_rows import checked_rows
from langchain_finetune.convert.rows import Outcome
from langchain_finetune.convert.supervised import Targets, supervised_rows
from langchain_finetune.dialects.fast_path import traced_line
from langchain_finetune.sessions import Sessions

AT_MOST, ALL_AT_MOST, FASTER = 0.8, 2, 14
PER_FILE = 2_500
ROUNDS = 2


def main() -> int:
    """Measure and print one table; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(
        description="CPU time from run JSON to training lines, as ratios."
    )
    parser.add_argument("--runs", type=int, default=10_000, help="how many runs (10000)")
    runs = parser.parse_args().runs
    ways: dict[str, Callable[[Path], Iterator[bytes]]] = {
        "orjson": parse_and_write,
        "bytes of a run to those of a line": encode,
        "files to checked lines": lines,
        "the same, by the plain path": lambda path: lines(path, parsed=True),
        "all of loader | Convert()": convert,
        "with where=": lambda path: convert(path, where=lambda run: bool(run["inputs"])),
        'with targets="last"': lambda path: convert(path, targets="last"),
        "langchain-community": lambda path: community(path, list),
        "langchain-community, one by one": lambda path: community(path, iter),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    sizes: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, runs, PER_FILE):
            path = Path(folder, "runs.jsonl")
            written = write(path, range(first, min(first + PER_FILE, runs)))
            sizes += written
            for name, way in list(ways.items()) * ROUNDS:
                times[name].append(cpu_time(way, path) / len(written) * 1e6)
            assert list(encode(path)) == list(lines(path, parsed=True)), "not the same bytes"
    print(f"{runs} runs of {sum(sizes) / len(sizes) / 1000:.1f} KB; every line is identical")
    print(f"{'':36}{'us a run':>9}{'x orjson':>10}")
    for name, each in times.items():
        print(f"{name:36}{median(each):9.1f}{ratio(each, times['orjson']):10.2f}")
    ours = times["bytes of a run to those of a line"]
    share, speed = ratio(ours, times["orjson"]), ratio(times["langchain-community"], ours)
    whole = ratio(times["all of loader | Convert()"], times["orjson"])
    print(f"{share:.2f} x orjson (at most {AT_MOST}), all {whole:.2f} x (at most {ALL_AT_MOST}),")
    print(f"{speed:.1f} x community (at least {FASTER})")
    return 0 if share <= AT_MOST and whole <= ALL_AT_MOST and speed >= FASTER else 1


def ratio(times: list[float], others: list[float]) -> float:
    """Return how many times as long as the others these take."""
    return median(one / other for one, other in zip(times, others, strict=True))


def cpu_time(way: Callable[[Path], Iterator[bytes]], path: Path) -> float:
    """Return the seconds of CPU time that a way takes."""
    gc.collect()  # Nobody pays for what another way has left.
    begun = time.process_time()
    for _ in way(path):
        pass
    return time.process_time() - begun


def parse_and_write(path: Path) -> Iterator[bytes]:
    """Parse each line and write it again."""
    with path.open("rb", buffering=1 << 17) as file:
        for line in file:
            yield orjson.dumps(orjson.loads(line))


def encode(path: Path) -> Iterator[bytes]:
    """Make checked training lines of usual runs."""
    with path.open("rb", buffering=1 << 17) as file:
        for line in file:
            chat = traced_line(line)
            assert chat is not None
            yield chat.line


def lines(path: Path, *, parsed: bool = False) -> Iterator[bytes]:
    """Make training lines and check them; `parsed` is the plain path, which reads any shape."""
    loader, outcome = RunFileChatLoader(path), Outcome()
    sessions = loader.invoke({})
    if parsed:
        sessions = Sessions(lambda skip: loader.read_sessions({}, skip))
    rows = checked_rows(supervised_rows(sessions, outcome), outcome, OPENAI)
    return (row.line for row in rows)


def convert(
    path: Path, where: Callable[[Any], bool] | None = None, targets: Targets = "all"
) -> Iterator[bytes]:
    """Make training lines as a user does."""
    examples = (RunFileChatLoader(path, where=where) | Convert(targets=targets)).invoke({})
    return (row.line for row in examples.rows())


def community(path: Path, hold: Callable[[Iterator[Any]], Iterable[Any]]) -> Iterator[bytes]:
    """Make training lines with langchain-community, all it can say of them.

    Args:
        path: The runs.
        hold: What its loader gets of them: a list or an iterator.
    """
    from langchain_community.adapters.openai import (  # noqa: PLC0415 - an optional extra
        convert_messages_for_finetuning,
    )
    from langchain_community.chat_loaders.langsmith import (  # noqa: PLC0415
        LangSmithRunChatLoader,
    )
    from langsmith.schemas import Run  # noqa: PLC0415

    with path.with_suffix(".flat").open("rb", buffering=1 << 17) as file:
        runs = hold(Run(**json.loads(line)) for line in file)
        loader = LangSmithRunChatLoader(runs, client=object())
        for messages in convert_messages_for_finetuning(loader.lazy_load()):
            yield json.dumps({"messages": messages}).encode()


def write(path: Path, numbers: range) -> list[int]:
    """Write runs in today's shape and in the flat one of 2023; return their sizes in bytes."""
    sizes = []
    with path.open("wb") as today, path.with_suffix(".flat").open("wb") as flat:
        for number in numbers:
            run = agent_run(number)
            sizes.append(today.write(orjson.dumps(run, option=orjson.OPT_APPEND_NEWLINE)))
            flat.write(orjson.dumps(flattened(run), option=orjson.OPT_APPEND_NEWLINE))
    return sizes


def flattened(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run with one level of lists less, as LangSmith's API gave it in 2023."""
    [messages], [generations] = run["inputs"]["messages"], run["outputs"]["generations"]
    return {**run, "inputs": {"messages": messages}, "outputs": {"generations": generations}}


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # langchain-community has many.
    sys.exit(main())
