"""Division of a query's time range into windows that are fetched concurrently."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from langchain_finetune.loaders.filter_language import compare
from langchain_finetune.loaders.query import in_utc
from langchain_finetune.loaders.run_requests import Run, RunRequest

MAX_WINDOWS = 64
"""Most windows at once; after them the density of runs is measured again."""

RUNS_PER_WINDOW = 200
"""Intended number of runs in a window, by the density of the page before it."""

_TICK = dt.timedelta(microseconds=1)


def parts_below(
    request: RunRequest, page: Sequence[Run], begin: dt.datetime | None
) -> list[RunRequest]:
    """Return requests for the runs after a page, in windows of equal length, the newest first.

    Their responses, one after another, are the runs of that time in LangSmith's order. The first
    window may repeat runs of the page, those that began in its last microsecond. The windows reach
    down to `begin`, the approximate start of the oldest run, or up to the maximum; see
    `rest_below`. There are none if the range can't be divided: `begin` is unknown, the page is not
    in order, or little is left.

    Example:
        >>> page = [{"start_time": "2026-11-01T09:00:00"}] + [
        ...     {"start_time": "2026-11-01T08:00:00"}] * 99
        >>> begin = dt.datetime(2026, 11, 1, 2, tzinfo=dt.UTC)
        >>> [part.start_time.hour for part in parts_below(RunRequest(("p",)), page, begin)]
        [6, 5, 3, 2]
    """
    times = [started(run) for run in page]
    known = [time for time in times if time is not None]
    if begin is None or len(known) < len(times) or known != sorted(known, reverse=True):
        return []
    # Others may have begun in the same microsecond as the page's last run.
    newest, end = known[0], known[-1] + _TICK
    per_window = max((newest - end) * RUNS_PER_WINDOW / len(page), _TICK)
    windows = (end - begin) / per_window
    if windows <= 1:
        return []
    count = math.ceil(windows)
    if count > MAX_WINDOWS:
        count, begin = MAX_WINDOWS, end - per_window * MAX_WINDOWS
    edges = [end - (end - begin) * number / count for number in range(count)] + [begin]
    return [_between(request, start, end) for end, start in pairwise(edges)]


def rest_below(request: RunRequest, parts: Sequence[RunRequest]) -> RunRequest | None:
    """Return the request for the runs before all windows, or None if there are none."""
    end = parts[-1].start_time
    if end is None or (request.start_time and end <= request.start_time):
        return None
    return _between(request, request.start_time, end)


def _between(request: RunRequest, start: dt.datetime | None, end: dt.datetime) -> RunRequest:
    # Exact: for the APIs' own upper bounds it is undocumented whether they are included.
    before = compare("lt", "start_time", end)
    return replace(request, start_time=start, end_time=end, before=before)


def started(run: Run) -> dt.datetime | None:
    """Return when a run started, if it says so."""
    try:
        return in_utc(dt.datetime.fromisoformat(str(run.get("start_time"))))
    except ValueError:
        return None
