"""Runs one training: `python -m langchain_finetune.local.training SPEC.json`."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, Timeout

from langchain_finetune.local.base_models import weights_fault
from langchain_finetune.local.hardware import (
    SMALL_MODEL,
    device,
    release_memory,
    share_the_cpu,
    trains_in_bfloat16,
)
from langchain_finetune.local.onednn import train_by_onednn
from langchain_finetune.local.training.batches import (
    MOST_LOGITS,
    MOST_TOKENS,
    MOST_TOKENS_OF_LARGE,
    alike,
    at_most,
    require_apart,
    sized,
)
from langchain_finetune.local.training.checkpoints import (
    best,
    folder_of,
    kept,
    last_checkpoint,
    measured_at,
)
from langchain_finetune.local.training.events import (
    Done,
    Reporter,
    Started,
    Stopped,
    TrainingFailure,
)
from langchain_finetune.local.training.four_bits import fault_of_four_bits, load_in_four_bits
from langchain_finetune.local.training.lines import TrainingLines
from langchain_finetune.local.training.loop.closing import close_at_host
from langchain_finetune.local.training.loop.training import train_at_host
from langchain_finetune.local.training.methods import TRAINING
from langchain_finetune.local.training.plan import Plan, make_plan
from langchain_finetune.local.training.processes import (
    is_first,
    together,
    together_with,
    wanted,
)
from langchain_finetune.local.training.sequences import IGNORED, Encoded
from langchain_finetune.local.training.spec import Spec
from langchain_finetune.local.training.targets import fault_of_targets
from langchain_finetune.local.training.tokenizer import load_configurations, load_tokenizer

STOPPED = 130
"""Exit status after a stop that was asked for, as after Ctrl-C in a shell."""

LOCK_SECONDS = 10
"""How long the process of an engine that was killed may take to let go of the checkpoints."""


def main() -> int:
    """Run the training of the specification named on the command line; return the exit status."""
    spec = Spec.model_validate_json(Path(sys.argv[1]).read_bytes())
    endings: list[Callable[[], None]] = [
        partial(shutil.rmtree, spec.partial, ignore_errors=True),
    ]
    stop = _stop_asked_for(endings)
    set_environment(offline=Path(spec.base).is_dir())
    reporter = Reporter(_own_stdout())
    with reporter, nullcontext() if together_with() else _own_checkpoints(spec.work):
        if spec.host:
            # The engine closes our standard input as well, and a session has to be closed first.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if spec.closing:
                close_at_host(spec, stop)
            else:
                train_at_host(spec, reporter, stop, endings)
        elif spec.machines and not together_with():
            from langchain_finetune.local.training.machines.launch import launch  # noqa: PLC0415

            launch(spec, Path(sys.argv[1]), reporter, stop, endings)
        else:
            _train(spec, reporter, stop)
    return reporter.status


@contextmanager
def _own_checkpoints(work: Path) -> Iterator[None]:
    """Keep other processes from a job's checkpoints; one of a killed engine is ended.

    It ends by itself, but not while it is stopped, by a debugger or SIGSTOP.
    """
    lock, owner = FileLock(work / ".lock"), work / ".owner"
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        with suppress(OSError, ValueError):
            # The first process of its session, see `start_child`: its helpers end with it.
            os.killpg(int(owner.read_text()), signal.SIGKILL)
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        owner.write_text(str(os.getpid()))
        yield
        owner.unlink(missing_ok=True)
    finally:
        lock.release()


def _train(spec: Spec, reporter: Reporter, stop: threading.Event) -> None:
    """Read, encode, plan, fit, and put the models in their place."""
    lines = TrainingLines.read(spec)
    model, tokenizer = _load(spec)
    encoded, validation = lines.encoded(tokenizer, model.config, model.generation_config)
    training = TRAINING[spec.method]
    plan = make_plan(
        spec.hyperparameters,
        examples=len(lines.train),
        parameters=model.num_parameters(),
        method=spec.method,
        processes=together_with() or 1,
        undesirable=sum(example.get("label") is False for _, example in lines.train),
    )
    if isinstance(plan.lora_targets, tuple) and (
        fault := fault_of_targets(model, plan.lora_targets)
    ):
        raise TrainingFailure("invalid_hyperparameters", fault)
    large = model.num_parameters() > SMALL_MODEL
    if training.packs and device() != "cuda":
        plan = _sized(plan, encoded, model, seed=spec.seed, large=large)
    elif device() == "cpu" and large:
        plan = at_most(plan, 2)
    if plan.packing:
        require_apart(model, tokenizer)
    plan = plan.shared_by(together_with() or wanted(spec.processes, plan.batch_size))
    tokens = sum(each.length for each in encoded)
    resumed_from = last_checkpoint(spec.work, tidy=is_first())
    reporter.report(
        Started(
            hyperparameters=plan.hyperparameters,
            trained_tokens=plan.n_epochs * tokens,
            total_steps=plan.n_epochs * plan.steps_an_epoch(len(encoded)),
            examples=len(lines.train),
            method="qlora" if plan.load_in_4bit else "lora" if plan.lora else "full",
            resumed_from=resumed_from,
        )
    )

    # Only now: these take seconds to import, and most faults of a file are known by here.
    from langchain_finetune.local.training.export import export  # noqa: PLC0415
    from langchain_finetune.local.training.fit import fit  # noqa: PLC0415

    dtype = model.dtype
    if plan.load_in_4bit:
        dtype = load_configurations(spec.base)[0].dtype or dtype
    else:
        model = model.bfloat16() if plan.lora and trains_in_bfloat16() else model.float()
        if large and device() == "cpu":
            train_by_onednn(model)
    with together(plan.processes, Path(sys.argv[1])):
        fitted = fit(
            model,
            tokenizer,
            encoded,
            validation,
            plan=plan,
            seed=spec.seed,
            work=spec.work,
            resumed_from=resumed_from,
            stop=stop,
            report=reporter.report,
        )
    if not is_first():
        return
    # Exporting loads models again.
    del model
    release_memory()
    if not fitted.finished:
        reporter.report(Stopped(step=fitted.steps))
        return
    steps = kept(fitted.history, fitted.epochs) or [fitted.steps]
    chosen = best(fitted.history) or steps[-1]
    shutil.rmtree(spec.partial, ignore_errors=True)
    for step in steps:
        export(
            folder_of(spec.work, step),
            spec.partial / ("model" if step == chosen else f"step-{step}"),
            tokenizer,
            base=spec.base,
            name=spec.name,
            dtype=dtype,
            lora=plan.lora,
            four_bits=bool(plan.load_in_4bit),
        )
    spec.partial.rename(spec.output)
    reporter.report(
        Done(
            trained_tokens=tokens * fitted.steps // plan.steps_an_epoch(len(encoded)),
            step=chosen,
            checkpoints=[measured_at(fitted.history, step) for step in steps],
        )
    )


def _sized(plan: Plan, encoded: list[Encoded], model: Any, *, seed: int, large: bool) -> Plan:
    shared = alike([each.columns["input_ids"] for each in encoded])
    behind = [each.columns["labels"][shared:] for each in encoded]
    trained = max(len(labels) - labels.count(IGNORED) for labels in behind)
    vocabulary = model.config.get_text_config().vocab_size
    return sized(
        plan,
        [each.length for each in encoded],
        seed,
        shared=0 if plan.packing else shared,
        most_tokens=MOST_TOKENS_OF_LARGE if large and device() == "cpu" else MOST_TOKENS,
        most_sharing=MOST_LOGITS // (vocabulary * max(trained, 1)),
    )


def _load(spec: Spec) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - seconds

    four_bits = spec.hyperparameters.load_in_4bit is True
    if four_bits and (fault := fault_of_four_bits(spec.base)):
        raise TrainingFailure("invalid_hyperparameters", fault)
    try:
        tokenizer = load_tokenizer(spec.base)
        model, info = (
            load_in_four_bits(spec.base)
            if four_bits
            else AutoModelForCausalLM.from_pretrained(
                spec.base,
                dtype="auto",
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        )
    except (OSError, ValueError) as error:
        raise TrainingFailure(
            "base_model_unavailable", "The base model can't be loaded; see the engine's log."
        ) from error
    if fault := weights_fault(info):
        raise TrainingFailure("base_model_unavailable", fault)
    return model, tokenizer


def _own_stdout() -> TextIO:
    """Return standard output for the events alone; other output goes to standard error.

    Libraries print, also from C, so the descriptor itself is redirected.
    """
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def _stop_asked_for(endings: Sequence[Callable[[], None]]) -> threading.Event:
    """Return an event that is set when the engine requests an orderly shutdown.

    Where the process has to end at once, the `endings` are called first, the last one first.
    """
    asked = threading.Event()

    def watch() -> None:
        # Not through `sys.stdin`: its lock, held by this thread, would break an orderly end.
        while os.read(0, 1024):
            asked.set()
        for end in reversed(endings):
            end()
        os._exit(STOPPED)

    threading.Thread(target=watch, name="watch-the-engine", daemon=True).start()
    return asked


def set_environment(*, offline: bool) -> None:
    """Silence the libraries and keep them offline; must be called before they are imported."""
    share_the_cpu()
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


if __name__ == "__main__":
    sys.exit(main())
