"""The engine's aliases: names that apps call, and the models that answer for them.

An alias is one document, and each change of it another one: both are written in one transaction, so
that a kill leaves the alias as it was or as it is to be.

Aliases of `serve --alias` are not stored until somebody changes them. From then on the stored one
counts, until the option names another model than it did at that time: this is a promotion.
"""

import asyncio
from collections.abc import Mapping
from typing import Literal

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.documents import Page, Record, Table
from langchain_finetune.local.identifiers import new_id, now
from langchain_finetune.local.sqlite import Database, Where
from langchain_finetune.rollout.state import Rollout, RolloutMode, Share

AliasAction = Literal["promote", "rollback", "canary", "shadow", "remove"]


class _Alias(Record):
    """An alias, whose `id` is its name.

    `option` is what `serve --alias` named when it last had a say.
    """

    rollout: Rollout
    option: str | None = None


class AliasChange(Record):
    """A step of an alias, and where it points since."""

    alias: str
    action: AliasAction
    target: str | None
    candidate: str | None
    mode: RolloutMode
    share: Share


class Aliases:
    """All aliases; `options` are those of the command line.

    Changes are made on the event loop's thread only; others may read.

    Attributes:
        turn: Whoever awaits something between reading an alias and changing it holds this.

    Example:
        >>> from pathlib import Path
        >>> from langchain_finetune.local.documents import open_records
        >>> aliases = Aliases(open_records(Path(":memory:")), {"calculator": "nano"})
        >>> aliases.target("calculator"), aliases.target("nano")
        ('nano', 'nano')
    """

    def __init__(self, database: Database, options: Mapping[str, str]) -> None:
        self.turn = asyncio.Lock()
        self._database = database
        self._table = Table(database, "aliases", _Alias)
        self._changes = Table(database, "alias_changes", AliasChange)
        self._options = dict(options)
        self._started_at = now()
        self._stored = {alias.id: alias for alias in self._table.all()}
        for name, alias in list(self._stored.items()):
            option = self._options.get(name)
            if option not in (None, alias.option):
                self._write("promote", alias.rollout.promote(option))

    def get(self, name: str) -> Rollout | None:
        """Return where an alias points; None if there is no such alias."""
        # One look: the page asks from threads of its own.
        if stored := self._stored.get(name):
            return stored.rollout
        if name in self._options:
            return Rollout(name=name, target=self._options[name])
        return None

    def all(self) -> dict[str, tuple[Rollout, int]]:
        """Return all aliases by name, each with the time since which there is one."""
        found = {
            name: (Rollout(name=name, target=target), self._started_at)
            for name, target in self._options.items()
        }
        return found | {
            name: (alias.rollout, alias.created_at) for name, alias in self._stored.items()
        }

    def target(self, name: str) -> str:
        """Return the model that an alias stands for, or the name itself."""
        found = self.get(name)
        return found.target if found else name

    def of(self, model: str) -> list[str]:
        """Return the names of the aliases that a model answers, or is tried for."""
        return [name for name, (rollout, _) in self.all().items() if model in rollout.models]

    def history(self, name: str, *, limit: int = 100) -> Page[AliasChange]:
        """Return the last changes of an alias, newest first."""
        of_this = Where("json_extract(body, '$.alias') = ?", (name,))
        return self._changes.page(limit=limit, where=[of_this])

    def change(self, action: AliasAction, rollout: Rollout) -> None:
        """Store the new state of an alias, and that it was changed; nothing if it is as it was."""
        if self.get(rollout.name) != rollout:
            self._write(action, rollout)

    def remove(self, name: str) -> None:
        """Remove an alias; its history is kept.

        Raises:
            ApiError: 404 if there is none; 409 if it is one of the command line.
        """
        alias = self._stored.get(name)
        if name in self._options:
            raise ApiError(
                409,
                f"The alias {name!r} is one of --alias (or LCFT_ALIASES): start the"
                " engine without it.",
                code="alias_of_the_command_line",
            )
        if alias is None:
            raise no_alias(name)
        with self._database.transaction():
            self._table.remove(name)
            self._changes.put(_changed("remove", alias.rollout, target=None))
        del self._stored[name]

    def _write(self, action: AliasAction, rollout: Rollout) -> None:
        known = self._stored.get(rollout.name)
        alias = _Alias(
            id=rollout.name,
            created_at=known.created_at if known else now(),
            rollout=rollout,
            option=self._options.get(rollout.name),
        )
        with self._database.transaction():
            self._table.put(alias)
            self._changes.put(_changed(action, rollout, target=rollout.target))
        self._stored[rollout.name] = alias


def no_alias(name: str, hint: str = "") -> ApiError:
    """Return the error for an alias that there isn't."""
    return ApiError(404, f"There is no alias {name!r}. {hint}".rstrip(), code="alias_not_found")


def _changed(action: AliasAction, rollout: Rollout, *, target: str | None) -> AliasChange:
    return AliasChange(
        id=new_id("aliaschange"),
        created_at=now(),
        alias=rollout.name,
        action=action,
        target=target,
        candidate=rollout.candidate,
        mode=rollout.mode,
        share=rollout.share,
    )
