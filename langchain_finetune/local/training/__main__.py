"""Runs one training: `python -m langchain_finetune.local.training SPEC.json`."""

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from langchain_finetune.local.hardware import has_fast_bfloat16, share_the_cpu
from langchain_finetune.local.training.encoding import Encoder, UnfitExampleError
from langchain_finetune.local.training.events import Reporter, TrainingFailure
from langchain_finetune.local.training.plan import make_plan
from langchain_finetune.local.training.spec import Spec, read_examples

STOPPED = 130
"""Exit status after a stop that was asked for, as after Ctrl-C in a shell."""


def main() -> int:
    """Train what the specification named on the command line asks for; return the exit status."""
    spec = Spec.read(Path(sys.argv[1]))
    _stop_with_the_engine(spec)
    _settle(spec)
    reporter = Reporter(_own_stdout())
    with reporter:
        trained_tokens = _train(spec, reporter)
        reporter.done(trained_tokens=trained_tokens)
        return 0
    return 1


def _train(spec: Spec, reporter: Reporter) -> int:
    """Train, put the model at its place, and return how many tokens were trained on."""
    examples = read_examples(spec.train, code="invalid_training_file")
    validation = (
        read_examples(spec.validation, code="invalid_validation_file") if spec.validation else None
    )
    model, tokenizer = _load(spec.base)
    plan = make_plan(spec.asked, examples=len(examples), parameters=model.num_parameters())
    encoder = _encoder(model, tokenizer)
    encoded = encoder.encode(examples)
    trained_tokens = plan.hyperparameters.n_epochs * sum(len(each.input_ids) for each in encoded)
    encoded_validation = encoder.encode(validation) if validation else None

    # Only now: these take seconds to import, and most faults of a file are known by here.
    from langchain_finetune.local.training.fit import fit, save  # noqa: PLC0415

    dtype = model.dtype
    half = plan.method == "lora" and has_fast_bfloat16()
    model = model.bfloat16() if half else model.float()
    model = fit(
        model,
        tokenizer,
        encoded,
        encoded_validation,
        plan=plan,
        seed=spec.seed,
        work=spec.work,
        on_start=lambda total_steps: reporter.settings(
            plan, trained_tokens=trained_tokens, total_steps=total_steps, examples=len(examples)
        ),
        on_metrics=reporter.metrics,
    )
    shutil.rmtree(spec.partial, ignore_errors=True)
    save(model, tokenizer, spec.partial, dtype)
    spec.partial.rename(spec.output)
    return trained_tokens


def _load(base: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - seconds
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

    disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", use_safetensors=True)
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


def _stop_with_the_engine(spec: Spec) -> None:
    """End this process at once when standard input closes.

    That works on every system, and also where the engine was killed: its end of the pipe closes.
    """

    def watch() -> None:
        # Not through `sys.stdin`: its lock, held by this thread, would break an orderly end.
        while os.read(0, 1024):
            pass
        shutil.rmtree(spec.partial, ignore_errors=True)
        os._exit(STOPPED)

    threading.Thread(target=watch, name="stop-with-the-engine", daemon=True).start()


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
