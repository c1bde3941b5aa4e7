"""Warnings before a job is made: what is going to stop, and when."""

import datetime as dt
import warnings
from functools import partial

from langchain_finetune.errors import EngineError, ModelRetirementWarning
from langchain_finetune.finetune.ask import Retry, ask
from langchain_finetune.finetune.engines.answers import is_missing
from langchain_finetune.finetune.engines.openai import retrieve_model
from langchain_finetune.finetune.place import Place
from langchain_finetune.finetune.retirements import CLOSING, SOURCE, is_openai, shutdown_of
from langchain_finetune.finetune.steps import Flow


def warn_before_submitting(base: str, place: Place) -> Flow[None]:
    """Warn with `ModelRetirementWarning` where the base or the engine's training is to stop.

    The date that the engine gives with the model (`shutdown_date`) counts before the dated data
    of this package. An engine that does not tell of its models is no obstacle.
    """
    if place.local:
        return
    today = dt.datetime.fromtimestamp(place.now(), dt.UTC).date()
    openai = is_openai(place.base_url)
    told = yield from _served_date(base, place)
    stops = told or (shutdown_of(base) if openai else None)
    if stops:
        source = f"the model list at {place.base_url}" if told else SOURCE
        tense = "was shut down" if stops <= today else "will be shut down"
        warnings.warn(
            f"The base {base} {tense} on {stops}, and every model fine-tuned from it ({source}). "
            "Choose a base that stays.",
            ModelRetirementWarning,
            stacklevel=2,
        )
    if openai:
        warnings.warn(CLOSING.sentence(), ModelRetirementWarning, stacklevel=2)


def _served_date(base: str, place: Place) -> Flow[dt.date | None]:
    try:
        model = yield from ask(
            partial(retrieve_model, name=base),
            place.base_url,
            none_if=is_missing,
            retry=Retry(attempts=2),
        )
    except EngineError:
        return None
    text = getattr(model, "shutdown_date", None)
    try:
        return dt.date.fromisoformat(text[:10]) if isinstance(text, str) else None
    except ValueError:
        return None
