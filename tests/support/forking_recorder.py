"""Threads record while the process forks: `forking_recorder.py FILE CHILDREN`.

Each child records one run. Prints how many of them ended.
"""

import os
import signal
import sys
import threading
import time
import uuid

from langchain_core.outputs import Generation, LLMResult

from langchain_finetune import RunRecorder


def record_one(recorder, text):
    run_id = uuid.uuid4()
    recorder.on_llm_start({"name": "a"}, [text], run_id=run_id)
    recorder.on_llm_end(LLMResult(generations=[[Generation(text="b")]]), run_id=run_id)


def ends(child):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


if __name__ == "__main__":
    recorder, stop = RunRecorder(sys.argv[1]), threading.Event()

    def work():
        while not stop.is_set():
            record_one(recorder, "x" * 5_000_000)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(int(sys.argv[2])):
        time.sleep(0.02)
        child = os.fork()
        if not child:
            record_one(recorder, f"child {number}")
            os._exit(0)
        children.append(child)
    stop.set()
    for thread in threads:
        thread.join()
    print(sum(map(ends, children)))  # noqa: T201
