"""The processor time of the page's first view of runs, over HTTP, in a store of many runs.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/first_view.py [--runs N] [--home FOLDER]

It waits until the engine has loaded its models, which takes processor time of its own. Then it asks
for the view in batches of ten, since the system counts in hundredths of a second, and prints the
median.
"""

import os
import statistics
import time

import httpx2
import psutil

from bench.store_load import filled_engine, load_options, sign_in

_BATCHES = 20
_OF_EACH = 10
_RUN_BYTES = 600
_LOOK_S = 3


def main() -> None:
    """Measure, and print a line."""
    given = load_options(__doc__).parse_args()
    with filled_engine(given.home, given.runs, _RUN_BYTES) as (client, process):
        page = sign_in(client)
        _wait_until_idle(process)
        _ask(page)
        seconds = [_used(process, page) / _OF_EACH for _ in range(_BATCHES)]
        print(
            f"first view of runs: median {statistics.median(seconds) * 1e3:.1f} ms of CPU"
            f" ({min(seconds) * 1e3:.1f} to {max(seconds) * 1e3:.1f}); load of the machine"
            f" {os.getloadavg()[0]:.1f}"
        )


def _used(process: psutil.Process, page: httpx2.Client) -> float:
    before = _cpu(process)
    for _ in range(_OF_EACH):
        _ask(page)
    return _cpu(process) - before


def _ask(page: httpx2.Client) -> None:
    page.get("/").raise_for_status()


def _wait_until_idle(process: psutil.Process) -> None:
    before = -1.0
    while (used := _cpu(process)) - before > _LOOK_S / 100:
        before = used
        time.sleep(_LOOK_S)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
