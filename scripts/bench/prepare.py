"""What making training files of many chats costs: each step's share of the time, and memory.

Chats of 1 KB are converted, searched for secrets, checked, split, cleared of exact and near
duplicates, counted with the tokenizer of `nano`, reported on and spooled:

    .venv/bin/python scripts/bench/prepare.py

Each measurement is a child process of its own, so that a peak is its own. Each step's own CPU time
is counted, without that of the steps that it waits for. The promise that is checked: the large
set takes at most 30 MB more than the small one.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SMALL, LARGE = 10_000, 100_000
ALLOWED_MB = 30
SENTENCE = "order {a} of customer {b} went to shelf {c} and then to gate {d} at noon"
TITLES = {
    "checked_rows": "checks",
    "fitting_rows": "tokens",
    "secret_rows": "secrets",
    "split_rows": "split",
    "supervised_rows": "examples",
    "uncontaminated_rows": "contamination",
    "unique_rows": "duplicates",
}


def main() -> int:
    """Measure and print; 1 where the promise is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=LARGE)
    large = parser.parse_args().examples
    peaks = []
    for count in (SMALL, large):
        figures, table = _child(count).split("\n", 1)
        peak, seconds, size = map(float, figures.split())
        peaks.append(peak)
        print(
            f"{count:>8} chats of {size / count:.0f} bytes: {seconds:6.1f} s CPU, "
            f"{count / seconds:,.0f} a second, peak {peak:.0f} MB",
            flush=True,
        )
    more = peaks[1] - peaks[0]
    print(f"The large set takes {more:.1f} MB more than the small one.\n\n{table}")
    return 0 if more <= ALLOWED_MB else 1


def _child(count: int) -> str:
    command = [sys.executable, __file__, "child", str(count)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def chats(count: int) -> Iterator[dict[str, Any]]:
    """Yield chats of about 1 KB: instructions, a question, a call, its result and an answer."""
    from langchain_finetune.messages import WireMessages  # noqa: PLC0415 - see `main`

    for number in range(count):
        words = [
            SENTENCE.format(a=number, b=number * 7919 % 99991, c=place, d=number * place % 997)
            for place in range(1, 9)
        ]
        arguments = f'{{"order": "{number}"}}'
        function = {"name": "find_order", "arguments": arguments}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        wire: list[dict[str, Any]] = [
            {"role": "system", "content": words[0]},
            {"role": "user", "content": " ".join(words[1:4])},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{number}", "content": words[4]},
            {"role": "assistant", "content": " ".join(words[5:])},
        ]
        schema = {"type": "object", "properties": {"order": {"type": "string"}}}
        tool = {"type": "function", "function": {"name": "find_order", "parameters": schema}}
        ids = {"run_id": f"run-{number}", "trace_id": f"trace-{number}"}
        source = {**ids, "thread_id": f"thread-{number // 3}"}
        yield {"messages": WireMessages(wire), "tools": [tool], "source": source}


class Chats:
    """The chats, as often as they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self) -> Iterator[Any]:
        return chats(self._count)


def prepare(count: int) -> int:
    """Make the training files of made-up chats, and return their bytes."""
    from langchain_finetune import Convert, Split  # noqa: PLC0415 - see `main`
    from langchain_finetune.convert.rows import Target  # noqa: PLC0415
    from langchain_finetune.finetune.training_files import spool  # noqa: PLC0415

    convert = Convert(split=Split(validation=0.1, test=0.1), duplicates="drop_near")
    with tempfile.TemporaryDirectory() as folder:
        examples = convert.invoke(Chats(count))
        made = spool(examples, Path(folder), target=Target("local", "nano"))
        files = [made.training, made.validation, made.test]
        assert sum(file.examples for file in files if file) == count
        return sum(file.size for file in files if file)


class Clock:
    """Counts the CPU time of steps that call each other, each without what it waits for."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open = ["the rest"]
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def enter(self, step: str) -> None:
        """The time that follows is a step's."""
        self._turn()
        self._open.append(step)

    def leave(self) -> None:
        """It is the caller's again."""
        self._turn()
        self._open.pop()

    def generator(self, step: str, make: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
        """Return a step that yields, with its time counted."""

        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = make(*args, **kwargs)
            while True:
                self.enter(step)
                try:
                    item = next(items)
                except StopIteration:
                    return
                finally:
                    self.leave()
                yield item

        return timed

    def function(self, step: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with its time counted."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.enter(step)
            try:
                return call(*args, **kwargs)
            finally:
                self.leave()

        return timed


def measure(count: int) -> None:
    """Prepare, and print peak memory, CPU time, bytes, and each step's share of the time."""
    from langchain_finetune.convert import row_steps, runnable  # noqa: PLC0415 - see `main`
    from langchain_finetune.convert.jsonl import JsonlWriter  # noqa: PLC0415
    from langchain_finetune.convert.report.statistics import Tally  # noqa: PLC0415
    from langchain_finetune.finetune import training_files  # noqa: PLC0415

    clock = Clock()
    # Whatever these import as `..._rows` is a step of Convert, so a new one is counted too.
    for module in (row_steps, runnable):
        for name, step in vars(module).items():
            if name.endswith("_rows") and callable(step):
                title = TITLES.get(name, name.removesuffix("_rows"))
                setattr(module, name, clock.generator(title, step))
    globals()["chats"] = clock.generator("(making the chats)", chats)
    Tally.add = clock.function("report", Tally.add)  # type: ignore[method-assign]
    JsonlWriter.write = clock.function("spool", JsonlWriter.write)  # type: ignore[method-assign]
    training_files.source_line = clock.function("spool", training_files.source_line)
    size = prepare(count)
    clock.enter("end")
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, time.process_time(), size)
    own = {name: spent for name, spent in clock.seconds.items() if not name.startswith("(")}
    whole = sum(own.values())
    print(f"{'step':16}{'CPU s':>8}{'share':>8}")
    for name, spent in sorted(own.items(), key=lambda each: -each[1]):
        print(f"{name:16}{spent:8.2f}{spent / whole:8.0%}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        measure(int(sys.argv[2]))
    else:
        sys.exit(main())
