"""A worker: reads the numbers of tasks from standard input, and says which are done.

It ends with the process that started it, whose end closes standard input.
"""

import os
import pickle
import shutil
import signal
import sys
import threading
from pathlib import Path
from queue import SimpleQueue


def main() -> None:
    """Do tasks until the parent ends."""
    folder = Path(sys.argv[1])
    told = os.fdopen(os.dup(1), "w", buffering=1)
    # What the user's functions print is none of the answers.
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writing = threading.Lock()
    numbers: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(numbers, folder, writing), daemon=True).start()
    # Only now, as it takes a while, in which the parent may end.
    from langchain_finetune.convert.workers.work import do_task  # noqa: PLC0415

    try:
        work = pickle.loads((folder / "work").read_bytes())  # noqa: S301 - the parent's
    except (AttributeError, ImportError, pickle.UnpicklingError) as error:
        why = " ".join(str(error).split())
        told.write(
            f"refused A worker process can't import a function or a class of yours ({why}): "
            "define it at the top level of a module, or convert in this process alone.\n"
        )
        return
    told.write("ready\n")
    while True:
        number = numbers.get()
        with writing:
            made = (folder / f"{number}.made").open("wb")
        with made, (folder / f"{number}.task").open("rb") as task:
            do_task(work, task, made)
        with writing:
            Path(made.name).replace(folder / f"{number}.done")
        told.write(f"done {number}\n")


def _listen(numbers: "SimpleQueue[str]", folder: Path, writing: threading.Lock) -> None:
    for line in sys.stdin:
        numbers.put(line.strip())
    # The parent has ended, perhaps without being able to remove texts.
    writing.acquire()
    shutil.rmtree(folder, ignore_errors=True)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)  # With what this process has started.
    os._exit(0)


if __name__ == "__main__":
    main()
