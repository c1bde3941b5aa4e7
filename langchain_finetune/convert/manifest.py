"""What a set of training files is made of, said so that it can be made and checked again."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import orjson

from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.jsonl import WrittenFile
from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.sessions import Skip

FORMAT = 1
"""Changes when a reader of older manifests could not read a new one."""


def manifest(
    examples: Examples, target: Target, files: Mapping[str, WrittenFile]
) -> dict[str, Any]:
    """Return what the files of one pass are made of, in JSON's terms.

    The same chats and settings give the same manifest, byte by byte: it holds no time. Functions
    among the settings are told by their names alone.

    Args:
        examples: What was iterated last, for these files.
        target: What they are for.
        files: The files by what they hold: `train`, `validation`, `test`, `sources`.
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
    """Return the line of the sources' file that says where an example comes from.

    Args:
        row: The example.
        number: Its line in the file of its part, counted from 1.
    """
    return _line({"part": row.part, "line": number, "id": row.id, **row.source})


def left_out_lines(skips: Iterable[Skip]) -> Iterable[bytes]:
    """Yield the lines of the sources' file that say which chats were left out, and why."""
    return (_line({"part": None, "id": skip.id, "left_out": skip.code}) for skip in skips)


def _line(said: Mapping[str, Any]) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE, default=str)
