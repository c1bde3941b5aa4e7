"""Parts of a query's time that can be fetched side by side. Pure."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace

from langchain_finetune.loaders.filters import all_of, compare
from langchain_finetune.loaders.run_requests import Run, RunRequest

MOST_WINDOWS = 64
"""Most parts that one query is cut into."""

PAGES_PER_WINDOW = 2
"""How many answers a part should take, as far as the first page can tell."""

_TICK = dt.timedelta(microseconds=1)


def split_rest(
    request: RunRequest, page: Sequence[Run], begin: dt.datetime | None
) -> list[RunRequest]:
    """Return requests for what follows a first page, in parts of equal time, the newest first.

    Their answers, one after another, are the runs of the whole in the same order. The first part
    may begin with runs of the page once more, those that began in its last microsecond.

    Args:
        request: What is fetched.
        page: Its first answer, which is not all.
        begin: About when its oldest run began; what is older comes with the last part.

    Returns:
        The parts; none where nothing tells how to cut: `begin` is not known, the page is not the
        newest runs in order, or little is left.

    Example:
        >>> page = [{"start_time": "2026-11-01T09:00:00"}, {"start_time": "2026-11-01T08:00:00"}]
        >>> begin = dt.datetime(2026, 11, 1, 2, tzinfo=dt.UTC)
        >>> [str(part.start_time) for part in split_rest(RunRequest(("p",)), page, begin)]
        ['2026-11-01 06:00:00.000001+00:00', '2026-11-01 04:00:00+00:00', 'None']
    """
    times = [_moment(run) for run in page]
    known = [time for time in times if time is not None]
    if begin is None or len(known) < len(times) or known != sorted(known, reverse=True):
        return []
    newest, oldest = known[0], known[-1]
    left, per_page = oldest - begin, newest - oldest
    if left <= per_page * PAGES_PER_WINDOW:
        return []
    pages = left / max(per_page, _TICK)
    count = min(math.ceil(pages / PAGES_PER_WINDOW), MOST_WINDOWS)
    # Others may have begun in the same microsecond as the page's last.
    end = oldest + _TICK
    edges = [end - (end - begin) * number / count for number in range(count)]
    starts = [*edges[1:], request.start_time]
    return [_between(request, start, end) for start, end in zip(starts, edges, strict=True)]


def _between(request: RunRequest, start: dt.datetime | None, end: dt.datetime) -> RunRequest:
    conditions = [request.filter] if request.filter else []
    conditions.append(compare("lt", "start_time", end))
    return replace(request, start_time=start, end_time=end, filter=all_of(conditions))


def _moment(run: Run) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(str(run.get("start_time")))
    except ValueError:
        return None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
