"""How the engine stops its training process: by the pipe that is the process's standard input.

Anything that comes through it asks for an orderly end: save the state, then stop. When it closes,
the process ends at once. That works on every system, and also where the engine was killed: its
end of the pipe closes.
"""

import os
import shutil
import threading
from pathlib import Path

STOPPED = 130
"""Exit status after a stop that was asked for, as after Ctrl-C in a shell."""


def listen_to_the_engine(partial: Path) -> threading.Event:
    """Return an event that is set when the engine asks for an orderly end.

    Args:
        partial: Removed where the process has to end at once.
    """
    asked = threading.Event()

    def watch() -> None:
        # Not through `sys.stdin`: its lock, held by this thread, would break an orderly end.
        while os.read(0, 1024):
            asked.set()
        shutil.rmtree(partial, ignore_errors=True)
        os._exit(STOPPED)

    threading.Thread(target=watch, name="listen-to-the-engine", daemon=True).start()
    return asked
