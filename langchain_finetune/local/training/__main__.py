"""Runs one training: `python -m langchain_finetune.local.training SPEC.json`."""

import os
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock

from langchain_finetune.local.hardware import has_fast_bfloat16, share_the_cpu
from langchain_finetune.local.training.batches import sized
from langchain_finetune.local.training.checkpoints import best, folder_of, kept, measured_at
from langchain_finetune.local.training.encoding import Encoder, UnfitExampleError
from langchain_finetune.local.training.events import Reporter, TrainingFailure
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.local.training.preferences import Encoded, encode_preferences
from langchain_finetune.local.training.processes import is_first, together, wanted
from langchain_finetune.local.training.spec import Spec, read_examples

STOPPED = 130
"""Exit status after a stop that was asked for, as after Ctrl-C in a shell."""


def listen_to_the_engine(partial: Path) -> threading.Event:
    """Return an event that is set when the engine asks for an orderly end.

    Args:
        partial: Removed where the process has to end at once.
    """
    asked = threading.Event()

    def watch() -> None:
        # Not through `sys.stdin`: its lock, held by this thread, would break an orderly end.
        while os.read(0, 1024):
            asked.set()
        shutil.rmtree(partial, ignore_errors=True)
        os._exit(STOPPED)

    threading.Thread(target=watch, name="listen-to-the-engine", daemon=True).start()
    return asked


LOCK_SECONDS = 60
"""How long to wait for the process of an engine that was killed to let go of the checkpoints."""


def main() -> int:
    """Train what the specification named on the command line asks for; return the exit status."""
    spec = Spec.read(Path(sys.argv[1]))
    asked_to_stop = listen_to_the_engine(spec.partial)
    _settle(spec)
    reporter = Reporter(_own_stdout())
    lock = FileLock(spec.work / ".lock", timeout=LOCK_SECONDS) if is_first() else nullcontext()
    with reporter, lock:
        _train(spec, reporter, asked_to_stop)
    return reporter.status


def _train(spec: Spec, reporter: Reporter, asked_to_stop: threading.Event) -> None:
    """Train, and put the models at their place."""
    examples = read_examples(spec.train, method=spec.method, code="invalid_training_file")
    validation = (
        read_examples(spec.validation, method=spec.method, code="invalid_validation_file")
        if spec.validation
        else None
    )
    model, tokenizer = _load(spec.base)
    encoder = _encoder(model, tokenizer)
    encode = partial(encode_preferences, encoder) if spec.method == "dpo" else encoder.encode
    encoded: Encoded = encode(examples)
    lengths = [each.length for each in encoded]
    plan = make_plan(
        spec.asked,
        examples=len(examples),
        parameters=model.num_parameters(),
        method=spec.method,
    )
    if plan.method == "supervised":
        # DPO's loss is a mean over each batch, so smaller ones would weigh the pairs otherwise.
        plan = sized(plan, lengths, spec.seed)

    # Only now: these take seconds to import, and most faults of a file are known by here.
    from langchain_finetune.local.training.batches import require_apart  # noqa: PLC0415
    from langchain_finetune.local.training.export import export  # noqa: PLC0415
    from langchain_finetune.local.training.fit import fit  # noqa: PLC0415

    if plan.hyperparameters.packing:
        require_apart(model, tokenizer)
    dtype = model.dtype
    half = plan.lora and has_fast_bfloat16()
    tokens = sum(lengths)
    encoded_validation = _of_validation(lambda: encode(validation)) if validation else None
    processes = wanted(spec.processes, plan.hyperparameters.batch_size)
    with together(processes, Path(sys.argv[1])):
        fitted = fit(
            model.bfloat16() if half else model.float(),
            tokenizer,
            encoded,
            encoded_validation,
            plan=plan.shared_by(processes),
            seed=spec.seed,
            work=spec.work,
            asked_to_stop=asked_to_stop,
            on_start=lambda total_steps, resumed_from: reporter.settings(
                plan,
                trained_tokens=plan.hyperparameters.n_epochs * tokens,
                total_steps=total_steps,
                examples=len(examples),
                resumed_from=resumed_from,
            ),
            on_metrics=reporter.metrics,
        )
    if not is_first():
        return
    if not fitted.finished:
        reporter.stopped(step=fitted.steps)
        return
    steps = kept(fitted.history, fitted.epochs)
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
        )
    spec.partial.rename(spec.output)
    reporter.done(
        trained_tokens=len(fitted.epochs) * tokens,
        step=chosen,
        checkpoints={step: measured_at(fitted.history, step) for step in steps},
    )


def _of_validation(encode: Callable[[], Encoded]) -> Encoded:
    """Say of a failure that it is the validation file's."""
    try:
        return encode()
    except TrainingFailure as error:
        code = error.code.replace("training_file", "validation_file")
        raise TrainingFailure(code, f"Validation file: {error.message}") from error


def _load(base: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - seconds
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype="auto", use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise TrainingFailure(
            "base_model_unavailable", "The base model can't be loaded; the engine's log has more."
        ) from error
    return model, tokenizer


def _encoder(model: Any, tokenizer: Any) -> Encoder:
    try:
        return Encoder.of(tokenizer, model.config, model.generation_config)
    except UnfitExampleError as error:
        raise TrainingFailure(error.code, error.message) from error


def _own_stdout() -> TextIO:
    """Return standard output for the events alone; what else is printed goes to standard error.

    Libraries print, also from C, so the descriptor itself is turned round.
    """
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def _settle(spec: Spec) -> None:
    """Make this process a quiet neighbour; before the libraries are imported, which read this."""
    share_the_cpu()
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    if Path(spec.base).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "1"


if __name__ == "__main__":
    sys.exit(main())
