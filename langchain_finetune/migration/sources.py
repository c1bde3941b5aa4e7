"""Where prompts are read from: the runs of a model, and files."""

import datetime as dt
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langsmith import Client

from langchain_finetune.content import mapping
from langchain_finetune.errors import FineTuningError, LoadError
from langchain_finetune.loaders.base import sessions_of
from langchain_finetune.loaders.files import RunFileChatLoader
from langchain_finetune.loaders.query import in_utc
from langchain_finetune.loaders.runs import LangSmithRunChatLoader
from langchain_finetune.loaders.time_windows import started
from langchain_finetune.migration.archive import CHANGED, is_whole, rescued_model
from langchain_finetune.migration.calls import tracing_client
from langchain_finetune.migration.folders import MANIFEST
from langchain_finetune.migration.listing import ModelCalls
from langchain_finetune.migration.prompts import METADATA, RecordedPrompt, read_prompts
from langchain_finetune.sessions import Skip

_RESCUED = ("completions.jsonl", "validation.jsonl", "training.jsonl")

OTHER_MODEL = "other_model"
"""Code of a run that is left out since it called another model."""

OF_RECORDING = "of_a_recording"
"""Code of a stored completion that `record` asked for: the app asks otherwise."""

_NAMED = 8
"""Most reasons in a message."""

RUNS_PER_PROMPT = 20
"""Most runs that are read for each prompt that is wanted, newest first."""


def recent_runs(
    model: str,
    project: str | Sequence[str],
    *,
    days: int = 30,
    limit: int = 500,
    client: Client | None = None,
) -> LangSmithRunChatLoader:
    """Return the loader of a model's recent runs, a source for `record`.

    Runs are those whose metadata has the model as `ls_model_name`, as LangChain's tracer and
    LangSmith's wrappers write it.

    Args:
        model: The model, as the app calls it.
        project: Project of the runs, or several.
        days: Runs of the last so many days.
        limit: Number of prompts that are wanted; at most `RUNS_PER_PROMPT` times as many of the
            newest runs are read.
        client: LangSmith's client; by default that of the environment, or of the embedded engine
            if LANGSMITH_API_KEY is not set.

    Raises:
        LoadError: No client is given, LANGSMITH_API_KEY is not set, and no engine is running.

    Example:
        ```python
        runs = recent_runs("ft:gpt-4o-mini-2024-07-18:acme::abc", "calculator", days=14)
        ```
    """
    client = client or tracing_client()
    if client is None:
        raise LoadError(
            "The runs of a project can't be read: set LANGSMITH_API_KEY, or start the embedded "
            "engine."
        )
    return LangSmithRunChatLoader(
        client=client,
        project_name=(project,) if isinstance(project, str) else tuple(project),
        model=model,
        start_time=dt.datetime.now(dt.UTC) - dt.timedelta(days=days),
        limit=limit * RUNS_PER_PROMPT,
    )


def name_of_source(source: Any) -> str:
    """Return the name of a source of prompts: its path, its projects and days, or its type.

    Example:
        >>> name_of_source([])
        'list'
    """
    if isinstance(source, str | os.PathLike):
        return str(Path(source).expanduser().absolute())
    name = type(source).__name__
    if not isinstance(source, LangSmithRunChatLoader):
        return name
    since = source.query.start_time
    days = since and round((dt.datetime.now(dt.UTC) - in_utc(since)).total_seconds() / 86400)
    return f"{name}: {', '.join(source.query.project_names)}, {days} days"


def why_none(left_out: Sequence[Skip]) -> str:
    """Return in words why there are no prompts."""
    found = Counter(
        f"{skip.code} ({skip.reason})" if skip.code == OTHER_MODEL else skip.code
        for skip in left_out
    )
    told = [f"{count} {reason}" for reason, count in found.most_common(_NAMED)]
    told += ["..."] if len(found) > _NAMED else []
    return ", ".join(told) or "the sources have no chats of it"


def prompts_from(
    sources: Iterable[Any], model: str, skip: Callable[[Skip], None]
) -> Iterator[RecordedPrompt]:
    """Yield the prompts of all sources, those from traffic first.

    A source is the folder of a rescue, another path, as `RunFileChatLoader` takes it, a loader or
    sessions. Runs in files that name another model are skipped, and so are stored completions of a
    recording.

    Raises:
        LoadError: A source can't be read, or a rescue does not have the model.
        ConvertError: A source is not one.
    """
    from_files: list[RecordedPrompt] = []
    for source in sources:
        if isinstance(source, str | Path | os.PathLike):
            paths = rescued_files(source, model)
            if paths == []:
                continue
            source = RunFileChatLoader(paths or source, where=_of_app(model, skip))  # noqa: PLW2901
        sessions = sessions_of(source)
        for prompt in read_prompts(sessions, skip):
            if prompt.origin == "traffic":
                yield prompt
            else:
                from_files.append(prompt)
        for skipped in sessions.skipped:
            skip(skipped)
    yield from from_files


def rescued_files(folder: str | os.PathLike[str], model: str) -> list[Path] | None:
    """Return a model's files with chats in the folder of a rescue; None if it is not one.

    Raises:
        LoadError: The rescue does not have the model, or a file is not as it was rescued.

    Example:
        >>> rescued_files("runs.jsonl", "ft:gpt-4o-mini:acme::abc") is None
        True
    """
    path = Path(folder).expanduser()
    if not (path / MANIFEST).is_file():
        return None
    try:
        found = rescued_model(path, model)
    except FineTuningError:
        return None  # The manifest of something else.
    if found is None:
        raise LoadError(f"The rescue in {path} does not have {model}: rescue it first.")
    files = {path / found.folder / name: found.files.get(name) for name in _RESCUED}
    for file, known in files.items():
        if known and not is_whole(file, known):
            raise LoadError(f"{file} was {CHANGED}: rescue it again, or restore it.")
    return [file for file, known in files.items() if known]


def _of_app(model: str, skip: Callable[[Skip], None]) -> Callable[[Mapping[str, Any]], bool]:
    def is_of_app(run: Mapping[str, Any]) -> bool:
        if METADATA in mapping(mapping(run.get("inputs")).get("metadata")):
            skip(Skip(str(run.get("id")), OF_RECORDING, "`record` asked for it, not the app."))
            return False
        names = models_of(run)
        if not names or model in names:
            return True
        called = " or ".join(repr(name) for name in sorted(names))
        skip(Skip(str(run.get("id")), OTHER_MODEL, f"The run called {called}."))
        return False

    return is_of_app


def models_of(run: Mapping[str, Any]) -> set[str]:
    """Return the names under which a run says which model it called.

    Example:
        >>> models_of({"inputs": {"model": "ft:gpt-4o-mini:acme::abc"}})
        {'ft:gpt-4o-mini:acme::abc'}
    """
    extra = mapping(run.get("extra"))
    params, noted = mapping(extra.get("invocation_params")), mapping(extra.get("metadata"))
    found = (
        mapping(run.get("inputs")).get("model"),
        params.get("model"),
        params.get("model_name"),
        noted.get("ls_model_name"),
    )
    return {name for name in found if isinstance(name, str) and name}


def count_calls_in_files(
    paths: Iterable[str | os.PathLike[str]], names: Iterable[str], since: dt.datetime
) -> dict[str, ModelCalls]:
    """Return the calls of models since a time, by name, in files of recorded or exported runs.

    Raises:
        LoadError: A file can't be read.
    """
    seen: dict[str, list[tuple[dt.datetime | None, str]]] = {name: [] for name in names}
    for path in paths:

        def count(run: Mapping[str, Any], name: str = Path(path).name) -> bool:
            at = started(run)
            for model in models_of(run) & seen.keys() if at is None or at >= since else ():
                seen[model].append((at, name))
            return False  # Its chats are not needed.

        for _ in RunFileChatLoader(path, where=count, internal_calls=True).lazy_load():
            pass
    return {
        name: ModelCalls(
            count=len(runs),
            last_at=max((at for at, _ in runs if at is not None), default=None),
            projects=tuple(sorted({file for _, file in runs})),
        )
        for name, runs in seen.items()
    }
