"""The test cases that were held out from the training of a model, found by the model alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_finetune.convert.contract import load_contract
from langchain_finetune.convert.examples import Examples
from langchain_finetune.errors import CompareError
from langchain_finetune.evaluation.case_files import part_cases
from langchain_finetune.finetune.training_files import spooled_set


def held_out_cases(metadata: Mapping[str, Any], name: str, home: Path) -> Examples:
    """Return the test part of the data that a model was trained with, from the home's spool.

    Args:
        metadata: The model's metadata, as `FineTune` sets it.
        name: The model's name, for errors.
        home: The home folder.

    Raises:
        CompareError: Nothing was held out, or the files are not on this machine.
    """
    sha256 = metadata.get("training_sha256")
    folder = spooled_set(home / "spool", str(sha256)) if sha256 else None
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
    contract = load_contract(str(sha256), home)
    return part_cases(
        folder / "test.jsonl", response_format=contract.response_format if contract else None
    )
