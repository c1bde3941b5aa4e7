"""Processes forked from one that has imported what is slow: the same modules, seconds sooner.

For tests of what a module does. Those of its process, such as how it starts and what it imports,
run `sys.executable`.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

_SLOW_IMPORTS = [
    "fireworks",
    "fireworks.training.sdk.client",
    "langchain_finetune.cli.migrate",
    "langchain_finetune.cli.train",
    "langchain_finetune.loaders.runs",
    "langchain_finetune.local.server",
    "peft",
    "tinker",
    "transformers.models.llama.modeling_llama",
    "trl.trainer.dpo_trainer",
    "trl.trainer.sft_trainer",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_SLOW_IMPORTS)


class WarmProcess:
    """`python -m MODULE ARGUMENTS`, with the face of a `subprocess.Popen` that speaks text.

    A module may also be the path of a script.
    """

    def __init__(self, module, *arguments, env=None, stdout=None, stderr=None):
        child_in, stdin = os.pipe()
        self.stdin = os.fdopen(stdin, "w")
        self.stdout, child_out = _pipe() if stdout is None else (None, os.dup(stdout.fileno()))
        self.stderr, child_err = _pipe() if stderr is None else (None, os.dup(stderr.fileno()))
        # Connections are what multiprocessing hands over; any descriptor may be one.
        ends = [Connection(end) for end in (child_in, child_out, child_err)]
        env = dict(os.environ if env is None else env)
        self._process = _context.Process(
            target=_become, args=(module, list(map(str, arguments)), env, Path.cwd(), ends)
        )
        self._process.start()
        for end in ends:
            end.close()

    @property
    def pid(self):
        return self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a warm process", timeout)
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self):
        self._process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                file.close()
        self.wait()


def run_warm(module, *arguments, env=None, timeout=240):
    """Run a module to its end, as `subprocess.run` does with `capture_output` and `text`."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with WarmProcess(module, *arguments, env=env, stdout=out, stderr=err) as process:
            process.stdin.close()
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([module, *arguments], status, out.read(), err.read())


def _pipe():
    """Return the file that the parent reads, and the descriptor that the child writes to."""
    reading, writing = os.pipe()
    return os.fdopen(reading), writing


def _become(module, arguments, env, folder, ends):
    """Be the module, as a new interpreter would."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    _forget_environment()
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.argv = [module, *arguments]
    try:
        if module.endswith(".py"):
            runpy.run_path(module, run_name="__main__")
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # A child of multiprocessing skips what an interpreter does at its end.
        atexit._run_exitfuncs()
        sys.stdout.flush()


def _forget_environment():
    """langsmith keeps what it has read of the environment."""
    from langsmith import utils

    utils.get_env_var.cache_clear()
