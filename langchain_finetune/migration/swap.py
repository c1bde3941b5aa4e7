"""The swap: what lets a new model answer under an old name, or what to change in the app."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

from openai import NotFoundError, OpenAI, OpenAIError

from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.home import home_path


def is_promoted(name: str, model: str) -> bool:
    """Return whether a model answers to a name at the embedded engine.

    Raises:
        EngineError: The engine does not answer.
    """
    found = _aliases("get", name)
    return bool(found) and found["mode"] == "promoted" and found["target"] == model


def promote(name: str, model: str) -> None:
    """Let a model of the embedded engine answer to a name, in one transaction.

    Raises:
        EngineError: The engine does not answer, or refuses.
    """
    _aliases("post", name, {"action": "promote", "model": model})


def _aliases(verb: str, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    address = ensure_engine(home_path())
    key = address.api_key.get_secret_value()
    with OpenAI(base_url=address.base_url, api_key=key, max_retries=0) as client:
        path = f"/aliases/{quote(name, safe='')}"
        try:
            given = {} if body is None else {"body": body}
            return cast("dict[str, Any]", getattr(client, verb)(path, cast_to=object, **given))
        except NotFoundError as error:
            if verb == "get":
                return {}
            raise explained(error, address.base_url) from error
        except OpenAIError as error:
            raise explained(error, address.base_url) from error


def advice(
    model: str, result: ComparisonResult, engine: str, swapped: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return what to do next, line by line."""
    if swapped["promoted"]:
        serve = "langchain-finetune serve --port 8123, and the base URL http://127.0.0.1:8123/v1"
        return (
            f"The app's code stays: at the embedded engine, {result.new} answers to {model!r}.",
            f"Point the app to the engine: {serve}.",
            f"To go back: langchain-finetune rollback {model}",
        )
    swap = (
        f"langchain-finetune promote {model} {result.new}"
        if engine == "local"
        else f'In the app: ChatOpenAI(model="{result.new}") in place of ChatOpenAI(model="{model}")'
    )
    if swapped["verdict"] == "pass":
        return (f"It passed. {swap}",)
    return ("Not swapped, since it did not pass. To do it all the same:", swap)
