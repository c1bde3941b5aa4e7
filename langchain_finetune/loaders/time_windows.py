"""Parts of a query's time that can be fetched side by side. Pure."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from langchain_finetune.loaders.filter_language import compare
from langchain_finetune.loaders.run_requests import Run, RunRequest

MOST_WINDOWS = 64
"""Most parts that are cut at once; after them the density is looked at again."""

RUNS_PER_WINDOW = 200
"""How many runs a part should hold, as far as the page before it can tell."""

_TICK = dt.timedelta(microseconds=1)


def parts_below(
    request: RunRequest, page: Sequence[Run], begin: dt.datetime | None
) -> list[RunRequest]:
    """Return requests for what follows a page, in parts of equal time, the newest first.

    Their answers, one after another, are the runs of that time in LangSmith's order. The first
    part may begin with runs of the page once more, those that began in its last microsecond.

    Args:
        request: What is fetched.
        page: Its first answer, which is not all.
        begin: About when its oldest run began.

    Returns:
        The parts, down to `begin` or as many as are cut at once; see `rest_below`. None where
        nothing tells how to cut: `begin` is not known, the page is not the newest runs in order,
        or little is left.

    Example:
        >>> page = [{"start_time": "2026-11-01T09:00:00"}] + [
        ...     {"start_time": "2026-11-01T08:00:00"}] * 99
        >>> begin = dt.datetime(2026, 11, 1, 2, tzinfo=dt.UTC)
        >>> [part.start_time.hour for part in parts_below(RunRequest(("p",)), page, begin)]
        [6, 5, 3, 2]
    """
    times = [_moment(run) for run in page]
    known = [time for time in times if time is not None]
    if begin is None or len(known) < len(times) or known != sorted(known, reverse=True):
        return []
    # Others may have begun in the same microsecond as the page's last.
    newest, end = known[0], known[-1] + _TICK
    per_window = max((newest - end) * RUNS_PER_WINDOW / len(page), _TICK)
    windows = (end - begin) / per_window
    if windows <= 1:
        return []
    count = math.ceil(windows)
    if count > MOST_WINDOWS:
        count, begin = MOST_WINDOWS, end - per_window * MOST_WINDOWS
    edges = [end - (end - begin) * number / count for number in range(count)] + [begin]
    return [_between(request, start, end) for end, start in pairwise(edges)]


def rest_below(request: RunRequest, parts: Sequence[RunRequest]) -> RunRequest | None:
    """Return the request for what is older than all parts of a request, or None for nothing."""
    end = parts[-1].start_time
    if end is None or (request.start_time and end <= request.start_time):
        return None
    return _between(request, request.start_time, end)


def _between(request: RunRequest, start: dt.datetime | None, end: dt.datetime) -> RunRequest:
    # Exact, where the APIs' own upper bounds don't say whether they are included.
    before = compare("lt", "start_time", end)
    return replace(request, start_time=start, end_time=end, before=before)


def _moment(run: Run) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(str(run.get("start_time")))
    except ValueError:
        return None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
