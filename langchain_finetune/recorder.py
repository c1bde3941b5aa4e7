"""`RunRecorder`: records the runs of an app in a file, without any service."""

import base64
import logging
import os
import threading
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

import orjson
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import BaseModel

from langchain_finetune.errors import LoadError

_LOGGER = logging.getLogger(__name__)
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


class RunRecorder(BaseTracer):
    """Record the runs of an app in a JSON Lines file, in LangSmith's format.

    Pass it to the app as a callback; `RunFileChatLoader` reads the file. Each run is written when
    it ends, as one line in one piece, so several threads, event loops and processes, forked ones
    too, may share a file. Lines are appended to an existing file. A new file is readable only by
    its owner, since it contains what users wrote.

    Recording never breaks the app: a run that cannot be written is counted in `lost` and logged
    without its text.

    Args:
        path: The file.
        whole_traces: Also record runs of other types, such as chains and tools; by default only
            `llm` runs, from which training examples are built.

    Attributes:
        path: The file.
        lost: Number of runs that could not be written.

    Raises:
        LoadError: The file cannot be opened.

    Example:
        ```python
        with RunRecorder("runs.jsonl") as recorder:
            app.invoke({"input": "What's 56/7?"}, {"callbacks": [recorder]})
        loader = RunFileChatLoader("runs.jsonl")
        ```
    """

    # In an event loop, a run must be started before its child runs.
    run_inline = True

    def __init__(self, path: str | os.PathLike[str], *, whole_traces: bool = False) -> None:
        # In this format, the inputs of chat models are messages, not text.
        super().__init__(_schema_format="original+chat")
        self.path = Path(path).expanduser()
        self.lost = 0
        self._whole_traces = whole_traces
        self._lock = threading.Lock()
        _recorders.add(self)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(
                self.path, "a+", opener=lambda file, flags: os.open(file, flags, 0o600)
            )
            # Another app may have left an incomplete line, which must not break the next one.
            self._has_partial_line = (
                self._file.seek(0, os.SEEK_END) > 0 and _last_byte(self._file) != b"\n"
            )
        except OSError as error:
            raise LoadError(f"Cannot record runs in {path}: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; runs that end later count as lost."""
        with self._lock:
            self._file.close()

    def on_llm_new_token(self, *_: Any, run_id: Any, **__: Any) -> Run:
        """Keep no event for each token: the output contains all of them."""
        return self._get_run(run_id)

    def _persist_run(self, run: Run) -> None:
        """Do nothing: LangChain calls this for root runs only; each run is written as it ends."""

    def _on_run_update(self, run: Run) -> None:
        """Write a run that has ended."""
        if self._whole_traces or run.run_type in _LLM_TYPES:
            try:
                self._write(orjson.dumps(run_data(run), default=_jsonable, option=_OPTIONS))
            except (OSError, TypeError, ValueError) as error:
                self.lost += 1
                _LOGGER.warning(
                    "Run %s was not recorded in %s: %s", run.id, self.path, type(error).__name__
                )
        if run.parent_run_id is None:
            self._forget(run)

    def _write(self, line: bytes) -> None:
        with self._lock:
            if self._has_partial_line:
                line = b"\n" + line
            self._has_partial_line = True
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._has_partial_line = False

    def _forget(self, run: Run) -> None:
        """Release what LangChain's tracer, made to be short-lived, would keep of each run."""
        stack = [run]
        while stack:
            ended = stack.pop()
            self.order_map.pop(ended.id, None)
            stack += ended.child_runs


_recorders: WeakSet[RunRecorder] = WeakSet()


def _renew_locks() -> None:
    """Free the recorders of a forked process: a thread that was not forked may hold their locks."""
    for recorder in list(_recorders):
        recorder._lock = threading.Lock()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)

_LLM_TYPES = frozenset({"llm", "chat_model"})


def run_data(run: Run) -> dict[str, Any]:
    """Return a tracer's run that has ended in the format of LangSmith's API."""
    return {
        "id": run.id,
        "trace_id": run.trace_id,
        "parent_run_id": run.parent_run_id,
        "name": run.name,
        # The tracer calls it `chat_model`; LangSmith knows only `llm`.
        "run_type": "llm" if run.run_type in _LLM_TYPES else run.run_type,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "status": "error" if run.error else "success",
        "error": run.error,
        "inputs": run.inputs,
        "outputs": run.outputs,
        "extra": run.extra,
        "tags": run.tags or [],
        "dotted_order": run.dotted_order,
    }


def _jsonable(value: Any) -> Any:
    """Return an object that JSON cannot represent as one it can, as LangSmith's client does."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True, warnings=False)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return str(value)


def _last_byte(file: FileIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
