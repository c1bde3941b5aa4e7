"""Base of the chat loaders, which are also Runnables."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from langchain_core.chat_loaders import BaseChatLoader
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from langchain_finetune.arguments import CheckedArguments
from langchain_finetune.errors import ConvertError, LoadError, raised_by
from langchain_finetune.sessions import EncodedChat, FineTuningSession, Sessions, Skip

_PRIVATE = {"client", "loader", "name", "runs"}
"""Settings that contain keys, objects or training text."""

Chat = TypeVar("Chat", FineTuningSession, FineTuningSession | EncodedChat)

Overrides = dict[str, Any] | BaseModel | None
"""Settings for one call: a `RunQuery`, or some of its fields."""


class SessionLoader(BaseChatLoader, CheckedArguments, RunnableSerializable[Overrides, Sessions]):
    """Base of this package's loaders: a `BaseChatLoader` that composes with `|`.

    `invoke` reads nothing yet: it returns `Sessions`, which are read when they are iterated. So a
    pipeline streams any number of chats, and its trace contains no chat.

    Subclasses implement `read_sessions`.

    Attributes:
        strict: Raise a `LoadError` if a chat was skipped, with counts by reason and the first ids.
            It is raised after the last session, so that it names all reasons; nothing is
            submitted before that, since a training file is written completely first.
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    strict: bool = False

    @abstractmethod
    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield sessions one by one; pass those that are left out to `skip`.

        Args:
            overrides: Settings for this call, as passed to `invoke`.
            skip: Called with each chat that is skipped.

        Raises:
            LoadError: The source can't be read.
        """

    def lazy_load(self) -> Iterator[FineTuningSession]:
        """Yield the sessions one by one, as `BaseChatLoader` defines it."""
        return iter(self.invoke(None))

    def invoke(
        self,
        input: Overrides = None,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Sessions:
        """Return the sessions, which are read when they are iterated.

        Args:
            input: Settings that replace the loader's own for this call, such as
                `{"project_name": "app"}`; or a `RunQuery`, of which the fields that were set
                apply. None or `{}` for no changes.
            config: LangChain's run configuration.
            kwargs: Further settings for this call, as passed by `bind`.
        """
        return self._call_with_config(self._sessions, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Overrides = None,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Sessions:
        """Return the sessions like `invoke`."""
        return await super().ainvoke(input, config, **kwargs)

    def _sessions(self, overrides: Overrides, **settings: Any) -> Sessions:
        changes = {**settings, **as_changes(overrides)}
        sessions: Sessions = Sessions(
            lambda skip: count_notes(self.read_sessions(changes, skip), sessions.notes),
            strict=self.strict,
            origin=self.origin(changes),
            read_encoded=lambda skip: count_notes(self.read_encoded(changes, skip), sessions.notes),
        )
        return sessions

    def read_encoded(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession | EncodedChat]:
        """Like `read_sessions`, but may yield chats that are already training lines."""
        return self.read_sessions(overrides, skip)

    def origin(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the loader and its settings as JSON data, including those for this call.

        Clients and run objects are left out and functions are named only, so it contains no keys
        or text.
        """
        settings = self.model_dump(
            mode="json", exclude=_PRIVATE, exclude_defaults=True, fallback=named
        )
        origin = {"loader": type(self).__name__, **settings}
        this_time = {key: value for key, value in overrides.items() if key not in _PRIVATE}
        if this_time:
            origin["this_time"] = to_jsonable_python(this_time, fallback=named)
        return origin


def count_notes(sessions: Iterator[Chat], notes: Counter[str]) -> Iterator[Chat]:
    """Yield the sessions; `notes` counts what their sources say of them.

    `dropped_reasoning` counts parts, `tools_unknown` and `unread_settings` count chats.
    """
    for session in sessions:
        source = {} if isinstance(session, EncodedChat) else session.get("source", {})
        if dropped := source.get("dropped_reasoning"):
            notes["dropped_reasoning"] += int(dropped)
        for note in ("tools_unknown", "unread_settings"):
            if note in source:
                notes[note] += 1
        yield session


def named(value: Any) -> str:
    """Return the name of a function, or of the type of another object that is not JSON."""
    thing = value if hasattr(value, "__qualname__") else type(value)
    # Methods of built-in types, such as `str.lower`, have no module.
    module = getattr(thing, "__module__", None) or "builtins"
    return f"{module}.{thing.__qualname__}"


def as_changes(overrides: Overrides) -> dict[str, Any]:
    """Return settings for one call as a dict; of an object only fields that were set."""
    if isinstance(overrides, BaseModel):
        return overrides.model_dump(exclude_unset=True)
    if not isinstance(overrides, dict | None):
        raise LoadError(
            f"A loader is invoked with a dict or a RunQuery, not {type(overrides).__name__}."
        )
    return overrides or {}


class PlainLoader(SessionLoader):
    """Any `BaseChatLoader`, such as langchain-community's, as the first step of a pipeline."""

    loader: BaseChatLoader

    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield the loader's sessions; its own skips are unknown."""
        del skip
        if overrides:
            raise LoadError(
                f"{type(self.loader).__name__} accepts no settings at call time: invoke with {{}}."
            )
        yield from self.loader.lazy_load()  # type: ignore[misc]

    def origin(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the loader's name; its settings are unknown."""
        del overrides
        return {"loader": type(self.loader).__name__}


def composable(step: Any) -> Any:
    """Return a step for the left of a `|`: a loader that is not a Runnable becomes one."""
    if isinstance(step, BaseChatLoader) and not isinstance(step, RunnableSerializable):
        return PlainLoader(loader=step)
    return step


def sessions_of(source: Any) -> Sessions:
    """Return the sessions of a loader or any iterable, as an object whose repr has no text.

    Raises:
        ConvertError: The value is not a source of sessions.
    """
    loader = composable(source)
    if isinstance(loader, SessionLoader):
        return loader.invoke(None)
    if isinstance(source, Sessions):
        return source
    if isinstance(source, str | bytes | dict) or not isinstance(source, Iterable):
        raise ConvertError(f"The input must be sessions or a loader, not {type(source).__name__}.")
    if iter(source) is not source:
        return Sessions(lambda _: iter(source))
    return Sessions(_once(source))


def _once(sessions: Iterator[Any]) -> Callable[[Callable[[Skip], None]], Iterator[Any]]:
    """Return a reader of an iterator that raises an error when it is used again."""
    unread = [sessions]

    def read(_: Callable[[Skip], None]) -> Iterator[Any]:
        if not unread:
            raise ConvertError("The sessions were an iterator, which is exhausted: pass a list.")
        return unread.pop()

    return read


def is_wanted(
    run: Mapping[str, Any], where: Callable[[Any], bool] | None, run_id: str | None = None
) -> bool:
    """Return whether the user's function accepts a run; `run_id` is for a run without an id.

    Raises:
        LoadError: The function failed.
    """
    try:
        return where is None or bool(where(run if isinstance(run, dict) else dict(run)))
    except Exception as error:
        raise raised_by("where", run_id or str(run.get("id")), LoadError) from error


class WantedOnce:
    """Asks the user's function once for each run of files that are read twice.

    Also a call that is not wanted shows what people decided, but none is folded into it.
    """

    def __init__(self, where: Callable[[Mapping[str, Any]], bool] | None) -> None:
        self._where = where
        self._noted = bytearray()
        self._repeated = 0

    def note(self, run: Mapping[str, Any]) -> bool:
        """Ask for a run of the first reading, which yields all."""
        self._noted.append(is_wanted(run, self._where))
        return True

    @property
    def last(self) -> bool:
        """Whether the last run is wanted."""
        return bool(self._noted[-1])

    def repeat(self, run: Mapping[str, Any]) -> bool:
        """Return whether the next run of the second reading is wanted."""
        self._repeated += 1
        if self._repeated > len(self._noted):
            return is_wanted(run, self._where)  # The first reading ended before.
        return bool(self._noted[self._repeated - 1])
