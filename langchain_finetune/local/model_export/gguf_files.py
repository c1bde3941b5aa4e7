"""GGUF files, written by llama.cpp's own converter and quantizer as processes of their own.

The converter has modules named as other packages', so it is never imported here.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from langchain_finetune.errors import FineTuningError

Quantization = Literal["q8_0", "q4_k_m"]

QUANTIZER = "llama-quantize"
"""llama.cpp's program; its packages (Homebrew, conda-forge, winget, Nix) put it on the PATH."""


def require_quantizer(quantize: Quantization | None) -> str | None:
    """Return the path of the program that a quantization needs; None if it needs none.

    Raises:
        FineTuningError: It is not installed.
    """
    if quantize in (None, "q8_0"):
        return None
    found = shutil.which(QUANTIZER)
    if found is None:
        raise FineTuningError(
            f"{quantize} is made by llama.cpp's {QUANTIZER}, which is not on the PATH: install"
            " llama.cpp (such as brew install llama.cpp, or conda install -c conda-forge"
            " llama.cpp), or use --quantize q8_0, which needs no program."
        )
    return found


def write_gguf(
    model: Path, target: Path, converter: Path, quantize: Quantization | None = None
) -> Path:
    """Write a model's folder as a GGUF file, with its tokenizer and chat template, to a folder.

    Args:
        model: Folder of the whole model.
        target: Where the file is put.
        converter: llama.cpp's `convert_hf_to_gguf.py`.
        quantize: Its weights; by default 16 bits (`f16`).

    Raises:
        FineTuningError: The converter does not know the model, or the quantizer failed.
    """
    program = require_quantizer(quantize)
    kind = "q8_0" if quantize == "q8_0" else "f16"
    file = target / f"model-{quantize or kind}.gguf"
    with tempfile.TemporaryDirectory(prefix=".gguf-", dir=target) as folder:
        written = Path(folder) / "model.gguf"
        # `-B`: nothing is written beside the converter.
        asked = [sys.executable, "-B", str(converter), str(model), "--outfile", str(written)]
        _run([*asked, "--outtype", kind], "llama.cpp's converter can't write this model as GGUF")
        if program:
            quantized = Path(folder) / "quantized.gguf"
            name = str(quantize).upper()
            _run([program, str(written), str(quantized), name], f"{QUANTIZER} failed")
            written = quantized
        written.replace(file)
    return file


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(  # noqa: S603 - no shell
        command, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise FineTuningError(f"{failure}: {said[-1].strip() if said else done.returncode}")
