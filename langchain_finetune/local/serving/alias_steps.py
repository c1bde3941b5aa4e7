"""The steps of a rollout: promote, roll back, canary, shadow."""

import asyncio
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from langchain_finetune.local.aliases import no_alias
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.models import Models
from langchain_finetune.local.serving.backend import Chat
from langchain_finetune.rollout.state import Rollout, Share

DEFAULT_SHARE = Decimal("0.1")

MAX_NAME = 256
"""Most characters of an alias."""


_DO = {"promote": "promote", "rollback": "promote", "canary": "try", "shadow": "shadow"}
"""What to do with another model, by action."""


_NO_OTHER = (
    "Promote the model that is to answer the others first. One of another server is tried in the "
    "app, with RolloutChatModel."
)


class AliasStep(BaseModel):
    """A step of a rollout.

    `model` is needed but for `rollback`; `promote` without one promotes the candidate. `share` is
    the canary's. `expected` is the model that answers all requests until now, the name itself where
    there is no alias: the step is refused if somebody has decided otherwise meanwhile.
    """

    model_config = ConfigDict(extra="forbid")

    action: Literal["promote", "rollback", "canary", "shadow"]
    model: str | None = None
    share: Share | None = None
    expected: str | None = None


async def take_step(models: Models, chat: Chat, name: str, step: AliasStep) -> Rollout:
    """Carry out a step of an alias, which is made where there is none.

    A model may be rolled out under the name of another one, which answers until then.

    Raises:
        ApiError: 400 for a malformed step, 404 where there is no such model or alias, 409 where
            there is nothing to go back to, or the alias is not as expected.
    """
    if not name.strip() or len(name) > MAX_NAME:
        fault = f"An alias needs a name of at most {MAX_NAME} characters."
        raise ApiError(400, fault, param="name")
    if step.share is not None and step.action != "canary":
        raise ApiError(400, "Only a canary has a share.", param="share")
    if step.model is not None and step.action == "rollback":
        raise ApiError(400, "A rollback names no model: use promote.", param="model")
    aliases = models.aliases
    async with aliases.turn:
        before = aliases.get(name)
        if before is None and await _is_model(models, chat, name):
            before = Rollout(name=name, target=name)
        _check_expected(name, before, step.expected)
        after = _after(name, before, step)
        for model in sorted(after.models - (before.models if before else frozenset())):
            if not await _is_model(models, chat, model):
                raise ApiError(
                    404,
                    f"The engine has no model {model!r} now: {_DO[step.action]} one that it has.",
                    code="model_not_found",
                    param="model",
                )
        aliases.change(step.action, after)
    return after


def _check_expected(name: str, before: Rollout | None, expected: str | None) -> None:
    now = before or Rollout(name=name, target=name)
    if expected is not None and (now.target, now.candidate) != (expected, None):
        told = f", and {now.candidate!r} is tried" if now.candidate else ""
        raise ApiError(
            409,
            f"{now.target!r} answers to {name!r}{told}, not {expected!r} alone as expected: look "
            "at it again, and decide.",
            code="alias_changed",
            param="expected",
        )


def _after(name: str, before: Rollout | None, step: AliasStep) -> Rollout:
    if step.action == "promote":
        model = step.model or (before.candidate if before else None)
        if model is None:
            raise _needs_model(step)
        return before.promote(model) if before else Rollout(name=name, target=model)
    if before is None:
        raise no_alias(name, _NO_OTHER if step.action in {"canary", "shadow"} else "")
    if step.action == "rollback":
        after = before.rollback()
        if after is None:
            raise ApiError(
                409,
                f"The alias {name!r} has pointed at nothing but {before.target!r}. "
                "`langchain-finetune aliases NAME --remove` removes it.",
                code="nothing_to_roll_back",
            )
        return after
    if step.model is None:
        raise _needs_model(step)
    if step.action == "shadow":
        return before.shadow(step.model)
    return before.canary(step.model, DEFAULT_SHARE if step.share is None else step.share)


async def _is_model(models: Models, chat: Chat, name: str) -> bool:
    """Return whether a model can answer: one of the engine's own, or of its upstream."""
    if await asyncio.to_thread(models.servable, name):
        return True
    return any(card["id"] == name for card in await chat.cards())


def _needs_model(step: AliasStep) -> ApiError:
    return ApiError(400, f"'{step.action}' needs a model.", param="model")
