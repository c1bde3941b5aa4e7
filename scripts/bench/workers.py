"""What several worker processes gain: wall time, CPU time and memory, one against more.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/workers.py [--on ray]

Training files and a report are made of made-up runs of an agent (`agent_runs.py`), by default and
with everything on: `where`, the last answers, redaction, secrets, near duplicates, tokens of
`nano`, a split without near copies. Each measurement is a process of its own, and one and more
workers take turns. The promise that is checked, on a machine that does nothing else: with
everything on, two workers are at least 1.6 times as fast, and every file is the same. On a busy
machine only CPU time tells: what the parent spends is what more workers can't share. With `--on`, a
cluster of Ray takes the place of the workers; its nodes' time and memory are not in the table, and
a cluster that is started for it counts.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import orjson

FASTER = 1.6
RUNS, ROUNDS = 12_000, 3


def wanted(run: dict[str, Any]) -> bool:
    """Return whether a run is learnt from: all are."""
    return bool(run["inputs"])


def redacted(text: str) -> str:
    """Return a text without one of its words."""
    return text.replace("harbour", "PLACE")


def main() -> int:
    """Measure and print one table; 1 where the promise is broken."""
    parser = argparse.ArgumentParser(description="One worker against more.")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many runs ({RUNS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often ({ROUNDS})")
    parser.add_argument("--workers", type=int, default=2, help="how many workers (2)")
    parser.add_argument("--on", help="a cluster of Ray in place of workers, such as ray")
    given = parser.parse_args()
    many = given.on or str(given.workers)
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "runs.jsonl")
        write(path, given.runs)
        heads = ("wall s", "CPU s", "of parent", "parent MB", "worker MB")
        print(f"{given.runs} runs\n{'':24}" + "".join(f"{head:>11}" for head in heads))
        for settings in ("default", "everything on"):
            found: dict[str, list[dict[str, Any]]] = {"1": [], many: []}
            for _ in range(given.rounds):
                for workers, each in found.items():
                    each.append(_child(path, settings, workers))
                    _print(f"{settings}, {workers}", each[-1])
            assert len({each["files"] for some in found.values() for each in some}) == 1
            one, more = found["1"], found[many]
            ratio = median(a["wall"] / b["wall"] for a, b in zip(one, more, strict=True))
            serial = median(a["parent"] for a in more) / median(a["cpu"] for a in one)
            print(
                f"{settings}: {ratio:.2f} x as fast with workers {many}; the parent takes "
                f"{serial:.0%} of the CPU time of one worker",
                flush=True,
            )
            kept = kept and (settings == "default" or given.on or ratio >= FASTER)
    return 0 if kept else 1


def _print(title: str, found: dict[str, Any]) -> None:
    print(
        f"{title:24}{found['wall']:11.2f}{found['cpu']:11.2f}{found['parent']:11.2f}"
        f"{found['parent_mb']:11.0f}{found['worker_mb']:11.0f}",
        flush=True,
    )


def _child(path: Path, settings: str, workers: str) -> dict[str, Any]:
    # Not as the main script, whose functions a worker could not import.
    code = "import sys; from bench.workers import measure; measure(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(path), settings, workers]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def write(path: Path, runs: int) -> None:
    """Write made-up runs to a file."""
    from bench.agent_runs import agent_run  # noqa: PLC0415 - only once

    with path.open("wb") as file:
        for number in range(runs):
            file.write(orjson.dumps(agent_run(number), option=orjson.OPT_APPEND_NEWLINE))


def measure(path: str, settings: str, workers: str) -> None:
    """Make the files once, and print what it took as JSON."""
    from langchain_finetune import Convert, RunFileChatLoader, Split  # noqa: PLC0415 - see `main`
    from langchain_finetune.convert.rows import Target  # noqa: PLC0415
    from langchain_finetune.finetune.training_files import write_training_files  # noqa: PLC0415

    many: dict[str, Any] = {"workers": int(workers)} if workers.isdigit() else {"on": workers}
    loader, convert, target = RunFileChatLoader(path), Convert(**many), Target()
    if settings != "default":
        loader = RunFileChatLoader(path, where=wanted)
        convert = Convert(
            targets="last",
            fix=True,
            redact=redacted,
            secrets="redact",
            duplicates="drop_near",
            contamination="near",
            too_long="drop_oldest",
            split=Split(validation=0.1, test=0.1),
            **many,
        )
        target = Target("local", "nano")
    begun, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        made = write_training_files(
            (loader | convert).invoke({}), Path(folder, "set"), target=target
        )
        wall, parent = time.perf_counter() - begun, time.process_time() - cpu
        own, theirs = (
            resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        digest = hashlib.sha256()
        for path_made in sorted(made.folder.iterdir()):
            with path_made.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    found = {
        "wall": wall,
        "parent": parent,
        "cpu": parent + theirs.ru_utime + theirs.ru_stime,
        "parent_mb": own.ru_maxrss / unit,
        "worker_mb": theirs.ru_maxrss / unit,
        "files": digest.hexdigest(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
