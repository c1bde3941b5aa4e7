"""What a process does at a host of training loops: the name of an act, and a specification."""

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.loop import sdk_host, training
from langchain_finetune.local.training.loop.closing import close_at_host
from langchain_finetune.local.training.loop.host import (
    Datum,
    HostUnavailableError,
    StateGoneError,
    StopRequestedError,
)
from langchain_finetune.local.training.loop.hosts import host_of
from langchain_finetune.local.training.loop.position import Position
from langchain_finetune.local.training.spec import Spec
from tests.local.loop_worker import hurry

DATA = [Datum([5, 6], [6, 7], [0.0, 1.0])]


class Acts:
    """Acts of one job; each is a method."""

    def __init__(self, spec):
        self.spec = spec
        self.stop = threading.Event()
        self.position = Position.read(spec.work)

    @property
    def host(self):
        return host_of(self.spec, self.position, rank=8, report=lambda _: None, stop=self.stop)

    def make(self):
        assert self.host

    def end(self):
        host = self.host
        host.open(None)
        host.end()

    def end_while_it_opens(self):
        sdk_host.END_S = 0.05
        host = self.host
        with host._lock:
            host.end()
        host.open(None)

    def open(self):
        self.host.open(None)

    def stop_while_it_opens(self):
        self.stop.set()
        host = self.host
        try:
            host.open(None)
        finally:
            host.close("interrupted")

    def step(self):
        host = self.host
        run = host.open(None)
        try:
            run.step(DATA, 0.1)
        finally:
            host.close("errored")

    def reopen(self):
        host = self.host
        path = host.open(None).save_state("step-1")
        host.close("interrupted")
        host.open(path)

    def close(self):
        close_at_host(self.spec.model_copy(update={"closing": "all"}), self.stop)

    def fetch(self):
        self.host.fetch("tinker://run/external_weights/step-1", self.spec.work)

    def try_for_too_long(self):
        training.PATIENCE_S = 0.0
        self._loop().again_until_done(self.host.close_left)

    def stop_while_it_tries(self):
        self.stop.set()
        self._loop().again_until_done(self.host.close_left)

    def _loop(self):
        return training.TrainingLoop(
            SimpleNamespace(batch_size=1, n_epochs=1),
            self.spec,
            train=[SimpleNamespace(length=1)],
            host=self.host,
            objective=SimpleNamespace(),
            position=self.position,
            report=lambda _: None,
            stop=self.stop,
        )


def main():
    act, path, missing = sys.argv[1:]
    spec = Spec.model_validate_json(Path(path).read_bytes())
    hurry(spec.host.name)
    if missing:
        sys.modules[missing] = None
    told = {"raised": None, "message": "", "code": None}
    try:
        getattr(Acts(spec), act)()
    except (TrainingFailure, HostUnavailableError, StateGoneError, StopRequestedError) as error:
        told = {
            "raised": type(error).__name__,
            "message": str(error),
            "code": getattr(error, "code", None),
        }
    print("\n" + json.dumps(told))  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
