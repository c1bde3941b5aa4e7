"""What counter, duplicates and privacy cost: microseconds an example of 1 KB, and peak memory.

Each step runs in a child process of its own, over 10 000 and over 200 000 examples:

    .venv/bin/python scripts/bench/convert_steps.py

The promise that is checked: at most 30 MB more for the large number. `bytes` is what is counted
for a model of OpenAI without tiktoken's vocabulary; `nano` is counted exactly, on fewer examples.
"""

import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from langchain_finetune.convert import duplicates, redaction, secrets, too_long
from langchain_finetune.convert.rows import Outcome, Row, Target
from langchain_finetune.convert.split import Split
from langchain_finetune.convert.tokens.counter import counter_of

SMALL, LARGE = 10_000, 200_000
SLOW = {"nano": 20_000}
ALLOWED_MB = 30
WORDS = [f"{number * 7919 % 99991:05}" for number in range(5000)]

Rows = Iterator[Row]


def steps() -> dict[str, Callable[[Rows, Outcome], Rows]]:
    """Return the steps by name."""

    def counted(target: Target) -> Callable[[Rows, Outcome], Rows]:
        def step(rows: Rows, outcome: Outcome) -> Rows:
            made = counter_of(target, "offline", 65_536)
            assert made is not None
            return too_long.fitting_rows(rows, outcome, made, "reject")

        return step

    def parted(rows: Rows) -> Rows:
        for number, row in enumerate(rows):
            row.part = "train" if number % 10 else "validation"
            yield row

    split = Split(validation=0.1)
    return {
        "nothing": lambda rows, _: rows,
        "redact": lambda rows, out: redaction.redacted_rows(
            rows, out, lambda text: text.replace("00007", "NAME")
        ),
        "secrets": lambda rows, out: secrets.secret_rows(rows, out, "report"),
        "exact": lambda rows, out: duplicates.unique_rows(rows, out, "drop_exact", 0.9),
        "near": lambda rows, out: duplicates.unique_rows(rows, out, "drop_near", 0.9),
        "parts": lambda rows, out: duplicates.uncontaminated_rows(parted(rows), split, out),
        "bytes": counted(Target()),
        "nano": counted(Target("local", "nano")),
    }


def main() -> int:
    """Measure every step and print one table; 1 where a promise is broken."""
    print(f"{'step':10}{'us each':>10}{'peak MB':>10}{'large':>8}{'more':>7}")
    kept, nothing = True, 0.0
    for name in steps():
        _, small = _child(name, SMALL)
        spent, large = _child(name, SLOW.get(name, LARGE))
        nothing = spent if name == "nothing" else nothing
        more = large - small
        kept = kept and more <= ALLOWED_MB
        print(f"{name:10}{spent - nothing:10.1f}{small:10.1f}{large:8.1f}{more:7.1f}", flush=True)
    return 0 if kept else 1


def examples(count: int) -> Rows:
    """Yield examples of about 1 KB: a prompt, a tool, a call, its result and an answer."""
    parameters = {"type": "object", "properties": {"place": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "find", "parameters": parameters}}
    for number in range(count):
        words = " ".join(random.Random(number).choices(WORDS, k=100))
        function = {"name": "find", "arguments": f'{{"place": "{number}"}}'}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        said = [
            {"role": "system", "content": "You are a helpful clerk who finds things. " * 3},
            {"role": "user", "content": words[:360]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": f"Shelf {number}"},
            {"role": "assistant", "content": words[360:]},
        ]
        source = {"run_id": f"00000000-0000-0000-0000-{number:012}"}
        yield Row(source["run_id"], source, example={"messages": said, "tools": [tool]})


def _child(name: str, count: int) -> tuple[float, float]:
    command = [sys.executable, __file__, name, str(count)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    spent, peak = output.split()
    return float(spent), float(peak)


def measure(name: str, count: int) -> None:
    """Run one step and print its microseconds an example, and this process's peak in MB."""
    step, outcome = steps()[name], Outcome()
    assert sum(1 for _ in step(examples(300), outcome)) == 300  # imports and tokenizers are there
    began = time.process_time()
    assert sum(1 for _ in step(examples(count), outcome)) == count
    spent = (time.process_time() - began) / count * 1e6
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    print(spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    measure(sys.argv[1], int(sys.argv[2]))
