"""Honours the training child's contract without training; the job's seed says how it goes."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

SUCCEED, FAIL, CRASH, WAIT, KILLED, NO_MODEL, STUBBORN, NAN = range(8)


def report(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def watch_stdin():
    sys.stdin.read()
    os._exit(0)


def main():
    record, settings = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    job = Path(settings["work"]).parent.parent.name
    with record.open("a") as out:
        out.write(f"{job} {os.getpid()}\n")
    seed = settings["seed"]
    if seed == STUBBORN:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        threading.Thread(target=watch_stdin, daemon=True).start()
    asked = settings["hyperparameters"]
    chosen = {"n_epochs": 3, "batch_size": 2, "learning_rate_multiplier": 1.5}
    chosen |= {name: value for name, value in asked.items() if value != "auto"}
    steps = chosen["n_epochs"]
    with Path(settings["train"]).open() as lines:
        examples = sum(1 for _ in lines)
    report("settings", hyperparameters=chosen, trained_tokens=90, total_steps=steps,
           examples=examples, method="full")  # fmt: skip
    sys.stdout.write("a library's chatter\n")
    sys.stderr.write("step by step\n")
    output = Path(settings["output"])
    if seed != NO_MODEL:
        output.mkdir()
        (output / "config.json").write_text(json.dumps({"base": settings["base"]}))
    for step in range(1, steps + 1):
        report("metrics", step=step, total_steps=steps, epoch=step / 2,
               train_loss=float("nan") if seed == NAN else 1 / step,
               train_mean_token_accuracy=step / 10,
               valid_loss=0.5 if settings["validation"] else None,
               valid_mean_token_accuracy=0.25 if settings["validation"] else None)  # fmt: skip
    if seed == FAIL:
        report("failed", code="example_too_long", message="Example 3 is too long.")
        sys.exit(1)
    if seed == CRASH:
        sys.exit(7)
    if seed == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed in {WAIT, STUBBORN}:
        while not (record.parent / "go").exists():
            time.sleep(0.01)
    report("done", trained_tokens=90)


if __name__ == "__main__":
    main()
