"""A chat loader that is also a Runnable."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from langchain_core.chat_loaders import BaseChatLoader
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from langchain_finetune.errors import ConvertError, LoadError, raised_by
from langchain_finetune.sessions import FineTuningSession, Sessions, Skip

_NOT_TOLD = {"client", "loader", "name", "runs"}
"""Settings that hold keys, foreign objects or training text."""

Overrides = dict[str, Any] | BaseModel | None
"""Settings for one time: a `RunQuery`, or some of its fields."""


class SessionLoader(BaseChatLoader, RunnableSerializable[Overrides, Sessions]):
    """Base of this package's loaders: a `BaseChatLoader` that composes with `|`.

    `invoke` reads nothing yet: it returns `Sessions`, which read when they are iterated. So a
    pipeline streams however many chats there are, and a trace of it holds no chat.

    A subclass says how to read in `read_sessions`.

    Attributes:
        strict: Raise a `LoadError` if a chat was left out, with counts by reason and the first
            ids. It comes after the last session, so that it names all reasons; nothing is
            submitted before that, since a training file is written whole.
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    strict: bool = False

    @abstractmethod
    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield sessions one by one; hand what is left out to `skip`.

        Args:
            overrides: Settings for this time only, as given to `invoke`.
            skip: Called with each chat that is left out.

        Raises:
            LoadError: The source can't be read.
        """

    def lazy_load(self) -> Iterator[FineTuningSession]:
        """Yield the sessions one by one, as `BaseChatLoader` has it."""
        return iter(self.invoke(None))

    def invoke(
        self,
        input: Overrides = None,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Sessions:
        """Return the sessions, to be read when they are iterated.

        Args:
            input: Settings that replace the loader's own this time, such as
                `{"project_name": "app"}`; also as a `RunQuery`, of which the fields count that
                were set. None or `{}` for none.
            config: LangChain's run configuration.
            kwargs: Further settings for this time, as `bind` gives them.
        """
        return self._call_with_config(self._sessions, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Overrides = None,  # noqa: A002 - Runnable's name for it
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Sessions:
        """Return the sessions like `invoke`; there is nothing to wait for yet."""
        return await self._acall_with_config(self._asessions, input, config, **kwargs)

    def _sessions(self, overrides: Overrides, **settings: Any) -> Sessions:
        changes = {**settings, **as_changes(overrides)}
        sessions: Sessions = Sessions(
            lambda skip: count_reasoning(self.read_sessions(changes, skip), sessions.notes),
            strict=self.strict,
            origin=self.origin(changes),
        )
        return sessions

    def origin(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is asked for in JSON's terms: the loader, its settings, those of this time.

        Clients, run objects and functions are left out or named only, so no key or text is in it.
        """
        settings = self.model_dump(
            mode="json", exclude=_NOT_TOLD, exclude_defaults=True, fallback=named
        )
        told = {"loader": type(self).__name__, **settings}
        this_time = {key: value for key, value in overrides.items() if key not in _NOT_TOLD}
        if this_time:
            told["this_time"] = to_jsonable_python(this_time, fallback=named)
        return told

    async def _asessions(self, overrides: Overrides, **settings: Any) -> Sessions:
        return self._sessions(overrides, **settings)


def count_reasoning(
    sessions: Iterator[FineTuningSession], notes: Counter[str]
) -> Iterator[FineTuningSession]:
    """Yield the sessions; `notes` counts the parts of reasoning that were left out of them."""
    for session in sessions:
        if dropped := session.get("source", {}).get("dropped_reasoning"):
            notes["dropped_reasoning"] += int(dropped)
        yield session


def named(value: Any) -> str:
    """Return the name of a function or of another thing that JSON can't say."""
    thing = value if hasattr(value, "__qualname__") else type(value)
    # Methods of built-in types, such as `str.lower`, have no module.
    module = getattr(thing, "__module__", None) or "builtins"
    return f"{module}.{thing.__qualname__}"


def as_changes(overrides: Overrides) -> dict[str, Any]:
    """Return settings for one time as a dict; of an object only what was set."""
    if isinstance(overrides, BaseModel):
        return overrides.model_dump(exclude_unset=True)
    if not isinstance(overrides, dict | None):
        raise LoadError(f"A loader is invoked with settings, not {type(overrides).__name__}.")
    return overrides or {}


class PlainLoader(SessionLoader):
    """Any `BaseChatLoader` as the first step of a pipeline.

    Args:
        loader: For example one of `langchain_community.chat_loaders`.
    """

    loader: BaseChatLoader

    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield what the loader yields; it skips in ways of its own."""
        del skip
        if overrides:
            raise LoadError(
                f"{type(self.loader).__name__} takes no settings at call time: invoke with {{}}."
            )
        yield from self.loader.lazy_load()  # type: ignore[misc]

    def origin(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the loader's name; its settings are its own."""
        del overrides
        return {"loader": type(self.loader).__name__}


def composable(step: Any) -> Any:
    """Return what may stand on the left of a `|`: a loader that is no Runnable becomes one."""
    if isinstance(step, BaseChatLoader) and not isinstance(step, RunnableSerializable):
        return PlainLoader(loader=step)
    return step


def sessions_of(source: Any) -> Sessions:
    """Return the sessions of a loader or of any iterable, as a value that traces show no text of.

    Raises:
        ConvertError: Nothing that sessions can be read from.
    """
    loader = composable(source)
    if isinstance(loader, SessionLoader):
        return loader.invoke(None)
    if isinstance(source, Sessions):
        return source
    if isinstance(source, str | bytes | dict) or not isinstance(source, Iterable):
        raise ConvertError(f"Sessions are needed, such as a loader's, not {type(source).__name__}.")
    if iter(source) is not source:
        return Sessions(lambda _: iter(source))
    return Sessions(_once(source))


def _once(sessions: Iterator[Any]) -> Callable[[Callable[[Skip], None]], Iterator[Any]]:
    """Return a reader of an iterator, which says so when it is used up."""
    used: list[bool] = []

    def read(_: Callable[[Skip], None]) -> Iterator[Any]:
        if used:
            raise ConvertError(
                "The sessions were given as an iterator, which is used up: give a list."
            )
        used.append(True)
        return sessions

    return read


def is_wanted(
    run: Mapping[str, Any], where: Callable[[Any], bool] | None, run_id: str | None = None
) -> bool:
    """Return whether the user's function takes a run; `run_id` names one that has no id.

    Raises:
        LoadError: It failed.
    """
    try:
        return where is None or bool(where(run))
    except Exception as error:
        raise raised_by("where", run_id or str(run.get("id")), LoadError) from error
