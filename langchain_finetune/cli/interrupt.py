"""Ctrl-C ends the process within a second."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_END_S = 0.8
"""Time to end in good order after Ctrl-C. What is on disk then is whole, as after a crash."""

INTERRUPTED = 130
"""Exit code of shells for a process that Ctrl-C ended."""

_patient = False


@contextmanager
def takes_its_time_to_end() -> Iterator[None]:
    """In this block the first Ctrl-C waits for a good end, such as a job's cancellation."""
    global _patient  # noqa: PLW0603 - a process has one Ctrl-C
    _patient, before = True, _patient
    try:
        yield
    finally:
        _patient = before


@contextmanager
def ctrl_c_ends_it() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, and end the process soon if that alone does not.

    Otherwise it would wait for threads, such as those that wait for a server's answer.
    """
    is_main = threading.current_thread() is threading.main_thread()
    # A shell starts what runs in the background with this signal ignored.
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    interrupted = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted or not _patient:
            timer = threading.Timer(_END_S, os._exit, (INTERRUPTED,))
            timer.daemon = True
            timer.start()
        interrupted = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except KeyboardInterrupt:
        # Before the commands were imported; they print this themselves.
        sys.stderr.write("Aborted.\n")
        _exit_now(INTERRUPTED)
    except SystemExit as end:
        if not interrupted:
            raise
        # What Python takes apart at its end takes a second where the cores are busy.
        _exit_now(end.code)
    finally:
        signal.signal(signal.SIGINT, before)


def _exit_now(code: object) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # Nobody reads it any more.
            stream.flush()
    os._exit(code if isinstance(code, int) else 1)
