"""Create `nano` from scratch: tokenizer, pretraining, files.

Example:
    python scripts/pretrain/run.py --out langchain_finetune/local/nano

The run is bounded by steps. The same seed on the same machine gives the same model.
Nothing is downloaded. Measure the result with `evaluate.py`.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import fields
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizer as tokenizers
from torch import multiprocessing
from train import Settings, train


def main() -> None:
    """Read the options, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    for field in fields(Settings):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default)
    options = vars(parser.parse_args())
    out: Path = options.pop("out")
    settings = Settings(**options)
    began = time.monotonic()
    tokenizer = tokenizers.build(settings.seed)
    print(f"{len(tokenizer)} tokens in the vocabulary, {settings}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out)
    (out / ".meeting").unlink(missing_ok=True)
    multiprocessing.spawn(train, (settings, tokenizer, out), nprocs=settings.processes)
    (out / ".meeting").unlink(missing_ok=True)
    (out / "model.safetensors").chmod(0o644)
    size = (out / "model.safetensors").stat().st_size
    print(f"{out}: {size:,} bytes after {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
