"""The swap: what lets a new model answer under an old name, or what to change in the app."""

import os
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import quote

from openai import ConflictError, NotFoundError, OpenAI, OpenAIError

from langchain_finetune.engines.flow import Do, Flow
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.evaluation.chains import chat_model_of, model_name
from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.home import KEY_VARIABLE, home_path
from langchain_finetune.migration.settings import MigrationSettings
from langchain_finetune.migration.state import MigrationState

_PORT = 8123
_SERVE = f"langchain-finetune stop && langchain-finetune serve --port {_PORT}"


def alias_of(name: str) -> dict[str, Any]:
    """Return an alias of the embedded engine, empty if there is none.

    Raises:
        EngineError: The engine does not answer.
    """
    return _aliases("get", name)


def promote(name: str, model: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """Let a model of the embedded engine answer to a name, in one transaction.

    Args:
        name: The name.
        model: The model.
        before: The alias as it was when this was decided, empty if there was none.

    Returns:
        The alias; if it had changed meanwhile, as it is.

    Raises:
        EngineError: The engine does not answer, or refuses.
    """
    step = {"action": "promote", "model": model, "expected": before.get("target", name)}
    return _aliases("post", name, step)


def base_url_of_engine() -> str:
    """Return where the embedded engine's API is now.

    Raises:
        EngineError: It can't be started.
    """
    return ensure_engine(home_path()).base_url


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
        except ConflictError:
            return alias_of(name)
        except OpenAIError as error:
            raise explained(error, address.base_url) from error


def is_promoted(alias: Mapping[str, Any], model: str) -> bool:
    """Return whether a model answers all requests for an alias.

    >>> is_promoted({"target": "a", "candidate": None}, "a"), is_promoted({}, "a")
    (True, False)
    """
    return alias.get("target") == model and alias.get("candidate") is None


def why_kept(alias: Mapping[str, Any], name: str, swaps: Sequence[str]) -> str | None:
    """Return why an alias must stay as it is: somebody else has decided about it. Or None.

    Args:
        alias: The alias, empty if there is none.
        name: Its name, that of the old model.
        swaps: Models that this migration has swapped in before.

    Example:
        >>> why_kept({"target": "a", "mode": "canary", "candidate": "b"}, "old", ["a"])
        'a canary of b is running'
        >>> why_kept({}, "old", ["a"])
        'it was swapped before, and taken back since'
        >>> why_kept({}, "old", []), why_kept({"target": "a"}, "old", ["a"])
        (None, None)
    """
    target, tried = alias.get("target"), alias.get("candidate")
    if tried is not None:
        return f"a {alias['mode']} of {tried} is running"
    if swaps and target not in swaps:
        return "it was swapped before, and taken back since"
    # An upstream may have the old model itself.
    return None if target in {None, name, *swaps} else f"{target} answers to that name"


def swap_step(
    settings: MigrationSettings, state: MigrationState, result: ComparisonResult
) -> Flow[tuple[Mapping[str, Any], str | None]]:
    """Swap if it passed and nobody has decided otherwise; return the facts, and the engine."""
    assert result.decision is not None
    verdict, before = result.decision.verdict, state.steps.get("swap")
    swaps = list(before.facts.get("swaps", ())) if before else []
    alias, base_url, why = {}, None, None
    if settings.to.engine == "local":
        alias = yield Do(partial(alias_of, settings.model))
        if not is_promoted(alias, result.new):
            # An old model of the engine itself may be an alias: what answers to it is that model.
            is_old = settings.engine == "local" and alias and not swaps
            known = [alias["target"]] if is_old else swaps
            why = why_kept(alias, settings.model, known)
            if verdict == "pass" and settings.swap and why is None:
                alias = yield Do(partial(promote, settings.model, result.new, alias))
                if not is_promoted(alias, result.new):
                    why = why_kept(alias, settings.model, known)
        base_url = yield Do(base_url_of_engine)
    promoted = is_promoted(alias, result.new)
    if promoted and result.new not in swaps:
        swaps.append(result.new)
    did = f"{result.new} answers to {settings.model} at the embedded engine"
    summary = f"{did if promoted else why or 'not swapped'}; the verdict is {verdict}"
    facts = {"promoted": promoted, "swaps": swaps, "why": why}
    facts["earlier"] = bool(alias.get("earlier"))
    done = yield Do(partial(state.done, "swap", settings.out, summary, verdict=verdict, **facts))
    return done.facts, base_url


def advice(
    model: str, chat: Any, engine: str, swapped: Mapping[str, Any], base_url: str | None
) -> tuple[str, ...]:
    """Return what to do next, line by line.

    Args:
        model: The old model.
        chat: The new one.
        engine: The engine of the new one.
        swapped: The facts of the step `swap`.
        base_url: Where the embedded engine answers now.
    """
    new, alias = model_name(chat), shlex.quote(model)
    if swapped["promoted"]:
        undo = f"rollback {alias}" if swapped["earlier"] else f"aliases {alias} --remove"
        back = f"To go back: langchain-finetune {undo}"
        old = f"Without OPENAI_BASE_URL, the app asks {model} as before, as long as that is there."
        if swapped["verdict"] != "pass":
            told = f"Warning: {new} did not pass now, and answers to {model!r}: it was swapped by"
            return (f"{told} an earlier run.", back, old)
        key = home_path() / "api_key"
        given = f"${KEY_VARIABLE}" if os.environ.get(KEY_VARIABLE) else f"$(cat '{key}')"
        return (
            f"The app's code stays as it is: at the embedded engine, {new} answers to {model!r}.",
            f'For the app: export OPENAI_BASE_URL={base_url} OPENAI_API_KEY="{given}"',
            f"To serve it at an address that stays: {_SERVE}",
            f"Then, for the app: OPENAI_BASE_URL=http://127.0.0.1:{_PORT}/v1",
            back,
            old,
        )
    swap = f"langchain-finetune promote {alias} {new}" if engine == "local" else _lines(model, chat)
    why = f" ({swapped['why']})" if swapped["why"] else ""
    if swapped["verdict"] == "pass":
        return (f"It passed, and was not swapped{why}. To swap: {swap}",)
    return (f"Not swapped, since it did not pass{why}. To do it all the same: {swap}",)


def _lines(model: str, chat: Any) -> str:
    """Return what to change in the app."""
    address = getattr(chat_model_of(chat), "openai_api_base", None)
    at = f", base_url={address!r}" if address else ""
    return f"in the app, ChatOpenAI(model={model_name(chat)!r}{at}) for ChatOpenAI(model={model!r})"
