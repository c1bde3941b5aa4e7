"""Which files are meant by a path, a pattern, a folder, or several of them."""

import os
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from langchain_finetune.errors import LoadError

_NAMES = tuple(
    kind + packed
    for kind in (".jsonl", ".ndjson", ".json", ".parquet")
    for packed in ("", ".gz", ".zst")
)
"""How the names of data files end; only in a folder do names count."""


def find_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the files that paths mean: each once, in the order given, a folder's by name.

    Args:
        paths: Files (whatever their name), patterns such as `runs/**/*.jsonl`, and folders. A
            folder means the data files in it and below, such as `year=2026/month=11/day=01/`;
            names that begin with `.` or `_` are left out, as Parquet's tools do.

    Raises:
        LoadError: A path means no file.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = Path(given).expanduser()
        # A name with brackets is a pattern only where no such file exists.
        names = [path] if path.exists() else sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207 - takes absolute patterns
        files = [file for name in names for file in (_below(name) if name.is_dir() else [name])]
        if not files:
            what = "The folder holds no data files" if path.is_dir() else "There is no file"
            raise LoadError(f"{what}: {str(given)!r}.")
        found |= dict.fromkeys(files)
    return list(found)


def _below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.endswith(_NAMES)
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        and path.is_file()
    )
