"""`RunRecorder`: records an app's runs in a file, without any service."""

import base64
import logging
import os
import threading
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Self

import orjson
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import BaseModel

from langchain_finetune.errors import LoadError

_LOGGER = logging.getLogger(__name__)
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


class RunRecorder(BaseTracer):
    """Write each run of an app to a JSON Lines file, in the format of LangSmith's runs.

    Pass it to the app as a callback; `RunFileChatLoader` reads the file. Each line is written at
    once when its run has ended, so several threads, event loops and processes may write to one
    file. An existing file is appended to. Only its owner may read a new file, since it contains
    user messages.

    Recording never breaks the app: runs that can't be written are counted in `lost` and logged,
    without their text.

    Args:
        path: The file.
        whole_traces: Record runs of every type, such as chains and tools; by default only `llm`
            runs, from which training examples are made.

    Attributes:
        path: The file.
        lost: How many runs could not be written.

    Raises:
        LoadError: The file can't be opened.

    Example:
        ```python
        with RunRecorder("runs.jsonl") as recorder:
            app.invoke({"input": "What's 56/7?"}, {"callbacks": [recorder]})
        loader = RunFileChatLoader("runs.jsonl")
        ```
    """

    # In an event loop, the start of a run must be known before the events inside it.
    run_inline = True

    def __init__(self, path: str | os.PathLike[str], *, whole_traces: bool = False) -> None:
        # The schema in which chat models have messages instead of one text.
        super().__init__(_schema_format="original+chat")
        self.path = Path(path)
        self.lost = 0
        self._whole_traces = whole_traces
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(path, "a+", opener=_private)
            # An incomplete line left by a crashed app must not corrupt the next one.
            self._torn = self._file.seek(0, os.SEEK_END) > 0 and _last_byte(self._file) != b"\n"
        except OSError as error:
            raise LoadError(f"Runs can't be recorded in {path}: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; runs that end later are counted as lost."""
        with self._lock:
            self._file.close()

    def on_llm_new_token(self, *_: Any, run_id: Any, **__: Any) -> Run:
        """Record no event for each token: the answer contains them all."""
        return self._get_run(run_id)

    def _persist_run(self, run: Run) -> None:
        """Do nothing: LangChain calls this for root runs only; each run is written when it ends."""

    def _on_run_update(self, run: Run) -> None:
        """Write a run that has ended."""
        if self._whole_traces or run.run_type in _LLM_TYPES:
            try:
                self._write(orjson.dumps(run_data(run), default=_plain, option=_OPTIONS))
            except (OSError, TypeError, ValueError) as error:
                self.lost += 1
                _LOGGER.warning(
                    "Run %s was not recorded in %s: %s", run.id, self.path, type(error).__name__
                )
        if run.parent_run_id is None:
            self._forget(run)

    def _write(self, line: bytes) -> None:
        with self._lock:
            if self._torn:
                line = b"\n" + line
            self._torn = True
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._torn = False

    def _forget(self, run: Run) -> None:
        """Drop what LangChain's tracer keeps of each run, or memory would grow for ever."""
        waiting = [run]
        while waiting:
            ended = waiting.pop()
            self.order_map.pop(ended.id, None)
            waiting += ended.child_runs


_LLM_TYPES = frozenset({"llm", "chat_model"})


def run_data(run: Run) -> dict[str, Any]:
    """Return a tracer's run in the format of LangSmith's API.

    Args:
        run: A run that has ended.
    """
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


def _plain(value: Any) -> Any:
    """Convert a value that is not JSON, as LangSmith's client does."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True, warnings=False)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return str(value)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _last_byte(file: FileIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
