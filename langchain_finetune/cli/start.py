"""Start of the command line: quick itself; each command is imported when it is called."""

import atexit
import gc
import sys
from pathlib import Path

from langchain_finetune.cli.app import command_line
from langchain_finetune.cli.interrupt import ctrl_c_ends_it


def main() -> None:
    """Run the command line; errors of this package are printed without a traceback."""
    # Python would look at each object once more at its end, for seconds where the cores are busy.
    atexit.register(gc.freeze)
    with ctrl_c_ends_it():
        try:
            command_line()(args=[_in_home(each) for each in sys.argv[1:]])
        except SystemExit:
            raise  # What follows would import the errors just to see that it is none of them.
        except _printed_errors() as error:
            from langchain_finetune.cli.output import print_error  # noqa: PLC0415 - see the top

            print_error(error)
            sys.exit(getattr(error, "exit_code", 1))


def _in_home(argument: str) -> str:
    """Return an argument with `~/` as the home folder, which shells leave after a `=`."""
    name, sign, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return name + sign + (str(Path(value).expanduser()) if value.startswith("~/") else value)


def _printed_errors() -> tuple[type[Exception], ...]:
    """Return the errors that are printed; asked for only when something was raised."""
    from langchain_finetune.errors import FineTuningError  # noqa: PLC0415 - see the top

    # OSError: a full disk, or a file that cannot be read or written.
    return FineTuningError, OSError
