"""Functions that worker processes import."""

import os
import signal
import time
from pathlib import Path


def wanted(run):
    return "bench-7" not in str(run.get("name"))


def redacted(text):
    return text.replace("harbour", "PLACE")


def on_learnt(message, index):
    return index % 4 != 2 or bool(message.get("tool_calls"))


def by_last_letters(source):
    return source.get("trace_id", source.get("line", "?"))[-2:]


def broken(text):
    if "Zebulon" in text:
        raise ValueError(f"I can not read {text}")
    return text


def deadly(text):
    """Kill the process, each time that it is asked for a certain text."""
    if "Zebulon" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    return text


def deadly_once(text):
    """Kill the process, the first time that it is asked for a certain text."""
    mark = Path(os.environ["WORKERS_MARK"])
    if "Zebulon" in text and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return text


def crashing(text):
    if "Zebulon" in text:
        os._exit(3)
    return text


def slow(text):
    time.sleep(0.05)
    return text


def talkative(text):
    print("This goes to standard error.")  # noqa: T201 - as a user's function may
    return text


def missing(_):
    raise FileNotFoundError(2, "No such file", "gone.jsonl")


def redacted_there(text):
    """Leave a mark of the node of Ray that it runs on, and take a while."""
    import ray

    Path(os.environ["NODE_MARKS"], ray.get_runtime_context().get_node_id()).touch()
    time.sleep(0.003)
    return redacted(text)
