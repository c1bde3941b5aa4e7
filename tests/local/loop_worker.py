"""A training loop on tokens, as the training process runs it: nothing is loaded or rendered."""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from langchain_finetune.local.training.events import Reporter
from langchain_finetune.local.training.loop import fireworks_models, training
from langchain_finetune.local.training.loop.base import plan_at_host
from langchain_finetune.local.training.sequences import IGNORED, Encoded
from langchain_finetune.local.training.spec import Spec

EXAMPLES, BATCH = 12, 5


def examples(folder):
    """The sequences of a file, or some of other lengths, half of which is trained."""
    if (given := folder / "examples.json").exists():
        for columns in json.loads(given.read_text()):
            yield Encoded(len(columns["input_ids"]), columns)
        return
    for n in range(EXAMPLES):
        ids = list(range(10 * n + 1, 10 * n + 7 + n % 3))
        yield Encoded(len(ids), {"input_ids": ids, "labels": [IGNORED] * 3 + ids[3:]})


def hurry(host):
    """Let all waits of the SDK and of the loop pass sooner."""
    sleep = asyncio.sleep
    asyncio.sleep = lambda seconds, *result: sleep(seconds / 50, *result)
    training._PAUSES_S = (0.02, 0.1)
    if host == "fireworks":
        from fireworks.training.sdk import errors

        fireworks_models._POLL_S = 0.02
        errors.time = SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(0.02))


def main():
    spec = Spec.model_validate_json(Path(sys.argv[1]).read_bytes())
    hurry(spec.host.name)
    train = list(examples(spec.work))
    plan = plan_at_host(spec, examples=len(train), parameters=1)
    reporter = Reporter(sys.stdout)
    with reporter:
        finished = training.train_encoded(
            spec,
            plan,
            train,
            train[:3],
            examples=len(train),
            report=reporter.report,
            stop=threading.Event(),
            endings=[],
        )
        finished[0].finish()
    sys.exit(reporter.status)


if __name__ == "__main__":
    main()
