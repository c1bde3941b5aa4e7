"""Honours the training child's contract without training; the job's seed says how it goes."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

SUCCEED, FAIL, CRASH, WAIT, KILLED, NO_MODEL, STUBBORN, NAN, SLOW, LOST = range(10)

FAILURES = {
    FAIL: ("example_too_long", "Example 3 is too long."),
    LOST: ("worker_lost", "Rank 1 was lost."),
}


def report(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def watch_stdin(work):
    """Save and end in order when asked to, at once when the engine has gone."""
    if os.read(0, 1024):
        report("stopped", step=done_steps(work))
    sys.stdout.flush()
    os._exit(0)


def done_steps(work):
    """The fake's checkpoint: a file with a number."""
    return int((work / "step").read_text()) if (work / "step").exists() else 0


def main():
    record, settings = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    work = Path(settings["work"])
    job = work.parent.name
    with record.open("a") as out:
        out.write(f"{job} {os.getpid()}\n")
    seed = settings["seed"]
    if seed == STUBBORN:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        threading.Thread(target=watch_stdin, args=[work], daemon=True).start()
    asked = settings["hyperparameters"]
    chosen = {"n_epochs": 3, "batch_size": 2, "learning_rate_multiplier": 1.5}
    chosen |= {name: value for name, value in asked.items() if value != "auto"}
    steps = chosen["n_epochs"]
    with Path(settings["train"]).open() as lines:
        examples = sum(1 for _ in lines)
    report("settings", hyperparameters=chosen, trained_tokens=90, total_steps=steps,
           examples=examples, method="full", resumed_from=done_steps(work) or None)  # fmt: skip
    sys.stdout.write("a library's chatter\n")
    sys.stderr.write("step by step\n")
    checkpoints = [{"step": step, "train_loss": 1 / step} for step in range(1, steps + 1)][-3:]
    output = Path(settings["output"])
    resumed = done_steps(work)
    for step in range(1, steps + 1):
        if seed == SLOW and step > resumed:
            time.sleep(0.05)
        report("metrics", step=step, total_steps=steps, epoch=step / 2,
               train_loss=float("nan") if seed == NAN else 1 / step,
               train_mean_token_accuracy=step / 10,
               valid_loss=0.5 if settings["validation"] else None,
               valid_mean_token_accuracy=0.25 if settings["validation"] else None)  # fmt: skip
        if step > resumed:
            with (work / "new").open("w") as new:
                new.write(str(step))
                new.flush()
                # As a checkpoint is: after a power cut, one that counts is whole.
                os.fsync(new.fileno())
            (work / "new").replace(work / "step")
    if seed != NO_MODEL:
        for checkpoint in checkpoints:
            last = checkpoint["step"] == steps
            folder = output / ("model" if last else f"step-{checkpoint['step']}")
            folder.mkdir(parents=True)
            about = {
                "base": settings["base"],
                "method": settings["method"],
                "step": checkpoint["step"],
            }
            (folder / "config.json").write_text(json.dumps(about))
    if seed in FAILURES:
        code, message = FAILURES[seed]
        report("failed", code=code, message=message)
        sys.exit(1)
    if seed == CRASH:
        sys.exit(7)
    if seed == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed in {WAIT, STUBBORN}:
        while not (record.parent / "go").exists():
            time.sleep(0.01)
    report("done", trained_tokens=90, step=steps, checkpoints=checkpoints)


if __name__ == "__main__":
    main()
