"""Stored chat completions of a model, as JSON lines that grow while they are fetched.

A line is `{"completion": ..., "messages": [...]}`, both as the API gave them. New lines go into a
file of their own, which becomes a part of `completions.jsonl` when the list was read to its end: a
process that dies keeps each completion that it had fetched.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

import orjson

from langchain_finetune.content import mapping
from langchain_finetune.engines.jobs import ApiRecord
from langchain_finetune.migration.archive import Archive, RescuedModel, hashed
from langchain_finetune.migration.folders import new_file
from langchain_finetune.private_files import open_private
from langchain_finetune.tolerant_json import dumps

NAME = "completions.jsonl"


class CompletionLines:
    """The stored chat completions of a model on this machine; `ids` are those that are there."""

    def __init__(self, archive: Archive, entry: RescuedModel) -> None:
        self._archive, self._entry = archive, entry
        self._path = archive.path(entry, NAME)
        self._new = self._path.with_name(f".{NAME}.new")
        self._had = {name for name, _ in _lines(self._path)} if archive.has(entry, NAME) else set()
        fresh = dict(_lines(self._new))
        self._file: FileIO | None = None
        if fresh:  # What a process left behind; a line that was cut off is none.
            self._open(max(fresh.values()))
        else:
            self._new.unlink(missing_ok=True)
        self.ids = self._had | fresh.keys()

    def add(self, completion: ApiRecord, messages: list[ApiRecord]) -> None:
        """Append a completion; another process would find it, were this one killed now."""
        fields = {"completion": completion.fields, "messages": [each.fields for each in messages]}
        line = dumps(fields, orjson.OPT_APPEND_NEWLINE)
        if (self._file or self._open(0)).write(line) != len(line):
            # The disk took a part of it: nothing may follow on the same line.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._new))
        self.ids.add(completion.id)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def archive(self) -> None:
        """Put new lines into the archive, once the list was read to its end."""
        if self._file is None:
            return
        with new_file(self._archive.part(self._entry, NAME)) as target:
            if self._had:
                with self._path.open("rb") as old:
                    shutil.copyfileobj(old, target)
            with self._new.open("rb") as new:
                # A process may have died just before it removed this file.
                target.writelines(line for line in new if _id(line) not in self._had)
        self._entry.completions = len(self.ids)
        written = hashed(self._archive.part(self._entry, NAME))
        self._archive.finish(self._entry, NAME, written)
        self._new.unlink()

    def _open(self, size: int) -> FileIO:
        # Without a buffer: what was written survives the process.
        self._file = FileIO(open_private(self._new), "r+b")
        self._file.truncate(size)
        self._file.seek(size)
        return self._file


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the id of each complete line, and where it ends."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        end = 0
        for line in file:
            name = _id(line)
            if name is None:
                return
            end += len(line)
            yield name, end


def _id(line: bytes) -> str | None:
    try:
        found = mapping(mapping(orjson.loads(line)).get("completion")).get("id")
    except ValueError:
        return None
    return str(found) if found and line.endswith(b"\n") else None
