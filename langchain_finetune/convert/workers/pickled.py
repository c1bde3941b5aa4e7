"""What workers do, to be handed to other processes: its functions are written by their names."""

import io
import pickle
from types import FunctionType
from typing import Any

from langchain_finetune.convert.workers.work import PartWork, RowWork
from langchain_finetune.errors import ConvertError


def pickled(work: PartWork | RowWork) -> bytes:
    """Return what the workers do, to be handed to them.

    Raises:
        ConvertError: It has a function or an object that they can't import.
    """
    file = io.BytesIO()
    try:
        _Pickler(file, protocol=5).dump(work)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise ConvertError(
            "A function of yours holds an object that can't be given to worker processes; see the "
            "cause. Make it where the function is called first, or convert in this process alone."
        ) from error
    return file.getvalue()


class _Pickler(pickle.Pickler):
    """Writes functions and classes by their names, if a worker can import them."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, FunctionType | type):
            return NotImplemented
        if value.__module__ == "__main__" or "<" in value.__qualname__:
            raise ConvertError(
                f"The worker processes can't import {value.__qualname__} of {value.__module__}: "
                "define it at the top level of a module other than the script itself, or convert "
                "in this process alone."
            )
        return NotImplemented
