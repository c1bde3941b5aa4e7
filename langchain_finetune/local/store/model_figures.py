"""How the models that answer for an alias do: runs, failures, latency and feedback of each."""

from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.values import now
from langchain_finetune.rollout.state import Rollout

DAYS = 30
"""Runs of how many days count."""

MOST_RUNS = 5000
"""Most runs of a model that are looked at, the newest."""

FiguresSource = Literal["app", "shadow"]
_SOURCES: tuple[FiguresSource, ...] = ("app", "shadow")

_COMPARED = 4
_DAY = 24 * 3600 * 10**6

# An app's run belongs to an alias that was asked for: LangChain and LangSmith's wrappers leave that
# in `ls_model_name`. The engine's own shadows leave it in `rollout`. The bound comes first: the
# condition reads JSON, and a model may have millions of runs, none of them by this alias.
_RUNS = """
    SELECT * FROM (
        SELECT id, trace_id, error, start_time, end_time, metadata FROM runs
        WHERE model = ? AND start_time >= ? AND posted ORDER BY start_time DESC LIMIT ?
    ) AS newest
    WHERE CASE WHEN ? THEN json_extract(metadata, '$.rollout') = ?
        ELSE json_extract(metadata, '$.ls_model_name') = ?
            AND json_extract(metadata, '$.rollout') IS NOT ? END
"""

_COUNTS = f"""
    SELECT count(*) AS runs, count(error) AS errors,
        avg(end_time - start_time) / 1e6 AS mean_latency
    FROM ({_RUNS}) AS r
"""  # noqa: S608 - constants and "?"

# Users' feedback is mostly given to the root of a trace, whose id is that of the trace. Of a trace
# with several answers of the model it counts once.
_FEEDBACK = f"""
    SELECT key, count(score) AS n, avg(score) AS mean FROM (
        SELECT DISTINCT f.id, f.key, f.score FROM ({_RUNS}) AS r
        JOIN feedback AS f ON f.run_id IN (r.id, r.trace_id) WHERE f.score IS NOT NULL
    ) AS told GROUP BY key ORDER BY n DESC, key LIMIT 20
"""  # noqa: S608 - constants and "?"


@dataclass(frozen=True)
class FeedbackMean:
    """The mean score of the feedback with a key."""

    key: str
    n: int
    mean: float


@dataclass(frozen=True)
class ModelFigures:
    """What the last runs say about a model; times in seconds.

    `source` says which runs: those that apps traced, or the engine's own of a shadow.
    """

    model: str
    source: FiguresSource
    runs: int
    errors: int
    mean_latency: float | None
    feedback: list[FeedbackMean] = field(default_factory=list)


class FiguresByModel:
    """Figures of the models of an alias, from the runs that apps trace, and from its shadows."""

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database

    def of(self, rollout: Rollout) -> list[ModelFigures]:
        """Return the figures of the models that an alias points at, and pointed at before.

        Models without runs are left out; the candidate comes first.
        """
        names = (rollout.candidate, rollout.target, *reversed(rollout.earlier))
        models = [name for name in dict.fromkeys(names) if name is not None]
        found = []
        for model, source in product(models[:_COMPARED], _SOURCES):
            name, since = rollout.name, now() - DAYS * _DAY
            asked = (model, since, MOST_RUNS, source == "shadow", name, name, name)
            [counted] = self._database.search(_COUNTS, asked)
            if counted["runs"]:
                means = [FeedbackMean(**row) for row in self._database.search(_FEEDBACK, asked)]
                found.append(ModelFigures(model, source, **counted, feedback=means))
        return found
