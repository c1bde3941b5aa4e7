"""Cases from files: a part of a set of training files, or whatever else the file loader reads.

The test part of the set that a model was trained with is found by the model alone.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson

from langchain_finetune.convert.contract import load_contract
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.rows import Row, request_of
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.convert.split import PARTS
from langchain_finetune.engines import ENGINES, engine_of
from langchain_finetune.errors import CompareError, LoadError
from langchain_finetune.evaluation.chains import metadata_of, model_name
from langchain_finetune.finetune.training_files import MANIFEST, spooled_set
from langchain_finetune.home import home_path
from langchain_finetune.loaders.files import RunFileChatLoader

_SOURCES = "sources.jsonl"


def file_cases(path: Path) -> Examples:
    """Return the examples of a file.

    Beside a part of a set of training files, such as `prepare`'s `test.jsonl`, is `sources.jsonl`:
    it says which conversation each line comes from. Other files are loaded and converted.

    Args:
        path: A file of training lines, or any that `RunFileChatLoader` reads.

    Raises:
        LoadError: When reading: a file is missing, or has another format.
    """
    if path.suffix == ".jsonl" and path.stem in PARTS and path.with_name(_SOURCES).exists():
        return part_cases(path)
    return Convert().invoke(RunFileChatLoader(path).invoke({}))


def part_cases(path: Path, *, response_format: Any = None) -> Examples:
    """Return the examples of a part of a set of training files, with their sources.

    Args:
        path: The part's file, such as `set/test.jsonl`.
        response_format: Response format of the lines that hold none, where the engine takes none.

    Raises:
        LoadError: When reading: the set is not complete.
    """

    def rows(*_: object) -> Iterator[Row]:
        sources = path.with_name(_SOURCES)
        try:
            with sources.open("rb") as described, path.open("rb") as lines:
                found = (
                    source
                    for each in described
                    if (source := orjson.loads(each))["part"] == path.stem
                )
                # Lines and sources of a part are written in the same order.
                for line, source in zip_longest(lines, found):
                    if line is None or source is None:
                        raise LoadError(f"{sources} does not describe the lines of {path}.")
                    yield _row(path.stem, line, source, response_format)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LoadError(f"{path} can't be read with {sources}: {error}.") from error

    return Examples([], rows, settings={"part": path.stem})


def held_out_cases(model: Any) -> Examples:
    """Return the test part of the data that a model was trained with, from the home's spool.

    Args:
        model: The model, with the metadata that `FineTune` sets.

    Raises:
        CompareError: Nothing was held out, or the files are not on this machine.
    """
    metadata, name, home = metadata_of(model), model_name(model), home_path()
    folder = spooled_set(metadata, home)
    if folder is None:
        raise CompareError(
            f"The data that {name} was trained with is not on this machine, so its test cases are "
            "not known: give the gate data=, a LangSmith dataset or examples.part('test')."
        )
    if not (folder / "test.jsonl").exists():
        raise CompareError(
            f"Nothing was held out from the training of {name}: use Convert(split=Split(test=0.2)),"
            " or give the gate data=."
        )
    contract = None if _has_formats(folder) else load_contract(metadata["training_sha256"], home)
    return part_cases(
        folder / "test.jsonl", response_format=contract.response_format if contract else None
    )


def _has_formats(folder: Path) -> bool:
    """Return whether lines of a set hold their response format: those without one had none."""
    made = orjson.loads((folder / MANIFEST).read_bytes())
    rules = made["convert"].get("rules") or made["target"]["engine"]
    return rules in ENGINES and engine_of(rules).profile.response_format


def _row(part: Any, line: bytes, source: dict[str, Any], response_format: Any) -> Row:
    ids = {key: str(source[key]) for key in source.keys() - {"part", "line", "id"}}
    row = Row(source["id"], ids, line=line)
    row.part = part
    row.response_format = request_of(row.example).get("response_format") or response_format
    return row
