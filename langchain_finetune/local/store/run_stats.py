"""Figures of many runs at once: counts, tokens, latencies, shares of failures."""

from typing import Any

from langchain_finetune.local.sqlite import Database, Where
from langchain_finetune.local.store.feedback import summary
from langchain_finetune.local.store.values import iso

_PERCENTILES = {"p50": 0.5, "p99": 0.99}
_LATENCY = "(r.end_time - r.start_time)"
_TO_FIRST = "(r.first_token_time - r.start_time)"


def run_stats(database: Database, where: Where) -> dict[str, Any]:
    """Return the figures of the runs that meet a condition, as `client.get_run_stats` has them.

    Args:
        database: Where they are kept.
        where: Condition on `runs AS r`.

    Returns:
        Counts, tokens, latencies in seconds; costs are not known here, and are absent.
    """
    source = f"FROM runs AS r WHERE r.posted AND ({where.sql})"
    [found] = database.search(
        f"SELECT count(*) AS run_count, avg(r.error IS NOT NULL) AS error_rate, "
        "sum(r.prompt_tokens) AS prompt_tokens, sum(r.completion_tokens) AS completion_tokens, "
        f"sum(r.total_tokens) AS total_tokens, max(r.start_time) AS last {source}",
        where.values,
    )
    last = found.pop("last")
    return {
        **found,
        "last_run_start_time": None if last is None else iso(last),
        **_percentiles(database, source, where, "latency", _LATENCY),
        **_percentiles(database, source, where, "first_token", _TO_FIRST),
        "feedback_stats": _feedback(database, source, where),
    }


def _percentiles(
    database: Database, source: str, where: Where, name: str, value: str
) -> dict[str, float | None]:
    [counted] = database.search(f"SELECT count({value}) AS n {source}", where.values)
    found: dict[str, float | None] = {}
    for label, share in _PERCENTILES.items():
        rows = database.search(
            f"SELECT {value} AS time {source} AND {value} IS NOT NULL ORDER BY 1 LIMIT 1 OFFSET ?",
            (*where.values, int(share * max(counted["n"] - 1, 0))),
        )
        found[f"{name}_{label}"] = rows[0]["time"] / 1e6 if rows else None
    return found


def _feedback(database: Database, source: str, where: Where) -> dict[str, Any]:
    rows = database.search(
        "SELECT key, score, value, comment FROM feedback WHERE run_id IN "  # noqa: S608
        f"(SELECT r.id {source})",
        where.values,
    )
    by_key: dict[str, list[Any]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    return {key: summary(points) for key, points in by_key.items()}
