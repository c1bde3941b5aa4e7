"""The swap: what lets a new model answer under an old name, or what to change in the app."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import quote

from openai import NotFoundError, OpenAI, OpenAIError

from langchain_finetune.engines.flow import Do, Flow
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.evaluation.chains import chat_model_of, model_name
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.home import home_path
from langchain_finetune.migration.settings import MigrationSettings
from langchain_finetune.migration.state import MigrationState

# The engine that trained runs in the background, at a port of its own.
_SERVE = "langchain-finetune stop, then langchain-finetune serve --port 8123"
_SERVED = "http://127.0.0.1:8123/v1"


@dataclass(frozen=True)
class AliasNow:
    """What answers to a name at the embedded engine; `tried` if another model is tried there."""

    target: str | None
    tried: str | None = None


def alias_of(name: str) -> AliasNow:
    """Return what answers to a name at the embedded engine.

    Raises:
        EngineError: The engine does not answer.
    """
    found = _aliases("get", name)
    return AliasNow(found["target"], found["candidate"]) if found else AliasNow(None)


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


def swap_step(
    settings: MigrationSettings, state: MigrationState, result: ComparisonResult
) -> Flow[None]:
    """Swap if it passed; not again what was taken back since, and not over the user's own."""
    assert result.decision is not None
    verdict, before = result.decision.verdict, state.steps.get("swap")
    known = (before.facts.get("swapped") if before else None) or []
    # Earlier versions noted the last one only.
    swapped: list[str] = [known] if isinstance(known, str) else known
    promoted, reason = False, "not swapped"
    if settings.to.engine == "local" and (
        result.new in swapped or (verdict == "pass" and settings.swap)
    ):
        now: AliasNow = yield Do(partial(alias_of, settings.model))
        promoted = now == AliasNow(result.new)
        if not promoted and result.new in swapped:
            reason = "it was swapped before, and taken back since"
        elif now.tried or now.target not in {None, settings.model, result.new, *swapped}:
            reason = f"not swapped, since {now.tried or now.target} was given that name"
        elif not promoted:
            yield Do(partial(promote, settings.model, result.new))
            promoted = True
    if promoted and result.new not in swapped:
        swapped = [*swapped, result.new]
    did = f"{result.new} answers to {settings.model} at the embedded engine"
    summary = f"{did if promoted else reason}; the verdict is {verdict}"
    facts = {"promoted": promoted, "swapped": swapped}
    state.done("swap", settings.out, summary, verdict=verdict, **facts)


def advice(model: str, chat: Any, engine: str, swapped: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what to do next, line by line."""
    new = model_name(chat)
    if swapped["promoted"]:
        path = home_path() / "api_key"
        lines = (
            f"The app's code stays as it is: at the embedded engine, {new} answers to {model!r}.",
            f"To serve it: {_SERVE}",
            f"For the app: OPENAI_BASE_URL={_SERVED}, OPENAI_API_KEY is the text of {path}.",
            f"To go back: {_way_back(model)}",
            "While the old model answers, the app goes back without OPENAI_BASE_URL as well.",
        )
        if swapped["verdict"] == "pass":
            return lines
        return ("It did not pass now, and was swapped by an earlier run.", *lines)
    swap = f"langchain-finetune promote {model} {new}" if engine == "local" else _lines(model, chat)
    if swapped["verdict"] == "pass":
        return (f"It passed. To swap: {swap}",)
    return (f"Not swapped, since it did not pass. To do it all the same: {swap}",)


def _way_back(model: str) -> str:
    """Return the command that takes a swap back: before the first one, the name was no alias."""
    earlier = _aliases("get", model).get("earlier")
    return f"langchain-finetune {f'rollback {model}' if earlier else f'aliases {model} --remove'}"


def _lines(model: str, chat: Any) -> str:
    """Return what to change in the app."""
    address = getattr(chat_model_of(chat), "openai_api_base", None)
    at = f", base_url={address!r}" if address else ""
    return f"in the app, ChatOpenAI(model={model_name(chat)!r}{at}) for ChatOpenAI(model={model!r})"
