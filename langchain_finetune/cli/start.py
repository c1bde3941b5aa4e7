"""Start of the command line: something moves at once.

Importing this module is quick; the commands, whose libraries take seconds, are imported in `main`.
"""

import atexit
import gc
import os
import sys
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console

from langchain_finetune.cli.interrupt import ctrl_c_ends_it


def main() -> None:
    """Run the command line; errors of this package are printed without a traceback."""
    # Python would look at each object once more at its end, for seconds where the cores are busy.
    atexit.register(gc.freeze)
    with ctrl_c_ends_it():
        with _loading():
            from langchain_finetune.cli.app import run  # noqa: PLC0415 - takes seconds
        run()


def _loading() -> AbstractContextManager[object]:
    """Return a block in which a terminal shows that the program is being loaded."""
    is_command = sys.argv[1:2] != [] and not sys.argv[1].startswith("-")
    completes = any(name.endswith("_COMPLETE") for name in os.environ)
    console = Console(stderr=True)
    if is_command and not completes and console.is_terminal:
        return console.status("Loading")
    return nullcontext()
