"""What a node of Ray that has this package makes of a task."""

import io
import pickle
import traceback
from functools import lru_cache
from pathlib import Path

from langchain_finetune.convert.workers.work import PartWork, RowWork, do_task
from langchain_finetune.errors import ConvertError


def made_of(work: bytes, data: bytes, count: str, node: str) -> bytes | str:
    """Return what `do_task` writes, or a sentence that says why this node can't do it.

    Args:
        work: Pickled `PartWork` or `RowWork`.
        data: The task's data, as `write_value` wrote it.
        count: How the machine that asks counts tokens.
        node: The beginning of a sentence about this node.

    Raises:
        ConvertError: A defect, without the text that its own message may quote: Ray keeps the
            messages of errors in its records.
    """
    try:
        loaded, counts = _loaded(work)
    except (AttributeError, ImportError, pickle.UnpicklingError) as error:
        why = " ".join(str(error).split())
        return (
            f"{node} can't import a function or a class of yours ({why}): install its module on "
            "all nodes, or convert without Ray."
        )
    if counts != count:
        return (
            f"{node} counts the tokens of {loaded.steps.target.model} otherwise than this machine: "
            "one lacks its tokenizer, or has another version of it. Copy it there, or let "
            "count_tokens='always' download it."
        )
    made = io.BytesIO()
    try:
        do_task(loaded, io.BytesIO(data), made)
    except Exception as error:  # noqa: BLE001 - raised again, without its text
        *_, place = traceback.extract_tb(error.__traceback__)
        where = f"{type(error).__name__} in line {place.lineno} of {Path(place.filename).name}"
        raise ConvertError(f"{node} failed by a {where}.") from None
    return made.getvalue()


@lru_cache(maxsize=1)
def _loaded(work: bytes) -> tuple[PartWork | RowWork, str]:
    loaded: PartWork | RowWork = pickle.loads(work)  # noqa: S301 - this program's own
    return loaded, loaded.count()
