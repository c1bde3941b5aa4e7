"""Keeps LangSmith's experiments from printing bars and links: the result has its own link."""

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from langsmith import aevaluate, evaluate

_LOCK = threading.Lock()
_blocks = 0
_patches = ExitStack()


@contextmanager
def without_links() -> Iterator[None]:
    """Print neither bars nor links of LangSmith's experiments in this block.

    It has no setting for that. What an app prints itself is printed, also by tqdm. Blocks of
    several threads may overlap; while there is one, no experiment of the process prints any.
    """
    global _blocks  # noqa: PLW0603 - the functions that it stands for are the process's, too
    with _LOCK:
        if not _blocks:
            _replace()
        _blocks += 1
    try:
        yield
    finally:
        with _LOCK:
            _blocks -= 1
            if not _blocks:
                _patches.close()


def _replace() -> None:
    # These modules have the names of their functions, so they are no attributes of the package.
    modules = [sys.modules[runner.__module__] for runner in (evaluate, aevaluate)]
    for module in modules:
        for owner, name, quiet in (
            (module, "_load_tqdm", _no_bar),
            (getattr(module, "_ExperimentManagerMixin", None), "_print_experiment_start", _nothing),
        ):
            # A later version of LangSmith may have others, and print again.
            if (replaced := getattr(owner, name, None)) is not None:
                setattr(owner, name, quiet)
                _patches.callback(setattr, owner, name, replaced)


def _no_bar() -> Any:
    return lambda results: results


def _nothing(*_: object) -> None:
    pass
