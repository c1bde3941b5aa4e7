"""The manifest of a set of training files, with which it can be reproduced and verified."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import orjson

from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.sessions import Skip

FORMAT = 1
"""Version of the format; changes if older readers could not read it."""


def manifest(
    examples: Examples, target: Target, files: Mapping[str, WrittenFile]
) -> dict[str, Any]:
    """Return the manifest of the files of one pass, as JSON data.

    The same chats and settings give the same manifest, byte by byte: it contains no time. Functions
    among the settings appear by name only.

    `files` names them by content: `train`, `validation`, `test`, `sources`. The counts are those of
    the last iteration of the examples.
    """
    kept = sum(file.examples for name, file in files.items() if name != "sources")
    return {
        "format": FORMAT,
        "package": f"langchain-finetune {version('langchain-finetune')}",
        "query": examples.origin,
        "convert": examples.settings,
        "split": examples.settings.get("split"),
        "target": {"engine": target.engine, "model": target.model},
        "files": {
            name: {
                "name": file.path.name,
                "lines": file.examples,
                "bytes": file.size,
                "sha256": file.sha256,
            }
            for name, file in files.items()
        },
        "kept": kept,
        "left_out": examples.rejected_by_reason(),
        "notes": dict(sorted(examples.notes.items())),
    }


def source_line(row: Row, number: int) -> bytes:
    """Return the line of the sources file for an example; its file's lines count from 1."""
    return _line({"part": row.part, "line": number, "id": row.id, **row.source})


def left_out_lines(skips: Iterable[Skip]) -> Iterable[bytes]:
    """Yield the lines of the sources file for the chats that were left out."""
    return (_line({"part": None, "id": skip.id, "left_out": skip.code}) for skip in skips)


def _line(fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE, default=str)
