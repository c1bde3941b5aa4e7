"""Pages of runs, in the responses of both of LangSmith's APIs.

A run stays JSON until more than its ids is asked for: `traced_line` reads most runs as they are. A
page of a thousand as objects would be one tree of a million, which Python's garbage collector walks
again and again while the page is used.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.run_requests import Api, Run
from langchain_finetune.tolerant_json import loads


class _Ids(Struct, gc=False):
    id: str | None = None
    trace_id: str | None = None
    start_time: str | None = None


class _OldPage(Struct, gc=False):
    runs: list[Raw] | None = None
    cursors: dict[str, str | None] | None = None


class _NewPage(Struct, gc=False):
    items: list[Raw] | None = None
    next_cursor: str | None = None


_ids = msgspec.json.Decoder(_Ids).decode
_old_page = msgspec.json.Decoder(_OldPage).decode
_new_page = msgspec.json.Decoder(_NewPage).decode
_QUICK = frozenset(_Ids.__struct_fields__)


class RawRun(Mapping[str, Any]):
    """A run in the old API's format, parsed when more than its ids is asked for.

    Args:
        data: The run's JSON, as the API returned it.
        api: The API that returned it.

    Example:
        >>> run = RawRun(b'{"id": "r-1", "run_type": "LLM"}', "v2")
        >>> run["id"], run["run_type"]
        ('r-1', 'llm')
    """

    __slots__ = ("_api", "_fields", "_quick", "data")

    def __init__(self, data: bytes, api: Api) -> None:
        self.data = data
        self._api = api
        self._fields: Mapping[str, Any] | None = None
        self._quick: _Ids | None = None

    def __getitem__(self, key: str) -> Any:
        if self._fields is None and key in _QUICK:
            found = getattr(self._ids(), key)
            if found is not None:
                return found
        return self.fields()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields())

    def __len__(self) -> int:
        return len(self.fields())

    def fields(self) -> Mapping[str, Any]:
        """Return all fields, parsed.

        Raises:
            LoadError: A number is beyond all floats; `Raw` takes whatever else orjson does.
        """
        if self._fields is None:
            try:
                self._fields = _adapted(self._api, loads(self.data))
            except ValueError as error:
                raise LoadError(f"Run {self._ids().id} is not valid JSON.") from error
        return self._fields

    def _ids(self) -> _Ids:
        if self._quick is None:
            try:
                self._quick = _ids(self.data)
            except msgspec.DecodeError:
                self._quick = _Ids()  # They are not texts: `fields` has them.
        return self._quick


def read_page(api: Api, data: bytes) -> tuple[list[Run], str | None]:
    """Return the runs of a response, and the cursor of the next page or None.

    Raises:
        ValueError: The response is not valid JSON.
    """
    try:
        if not data.isascii():
            data.decode()  # `Raw` is not checked.
        if api == "v1":
            old = _old_page(data)
            runs, after = old.runs, (old.cursors or {}).get("next")
        else:
            new = _new_page(data)
            runs, after = new.items, new.next_cursor
        return [RawRun(bytes(run), api) for run in runs or ()], after
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        # Half a character, which costs one run its character, or another form.
        answer = loads(data)
    if api == "v1":
        parsed, after = answer.get("runs"), (answer.get("cursors") or {}).get("next")
    else:
        parsed, after = answer.get("items"), answer.get("next_cursor")
    return [_adapted(api, run) for run in parsed or ()], after


def _adapted(api: Api, run: Run) -> Run:
    """Return a run in the old API's format."""
    if api == "v1":
        return run
    old = dict(run)
    for name in ("run_type", "status"):
        if isinstance(run.get(name), str):
            old[name] = run[name].lower()
    if "project_id" in old:
        old["session_id"] = old.pop("project_id")
    if "parent_run_ids" in run:
        old["parent_run_id"] = next(reversed(run["parent_run_ids"] or ()), None)
    return old
