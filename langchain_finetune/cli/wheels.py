"""Fetches one package's wheel by pip, and holds it to its checksum. Nothing is installed."""

import hashlib
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.cli.output import print_line
from langchain_finetune.errors import FineTuningError


@dataclass(frozen=True)
class PinnedWheel:
    """A wheel: `package` is its name and version, `sha256` the checksum of the file."""

    package: str
    sha256: str


def downloaded(wheel: PinnedWheel, folder: Path, what: str, otherwise: str) -> Path:
    """Have pip download the wheel: it knows this machine's index, proxy and certificates.

    `what` begins the sentence that pip is missing, such as `nano is`; `otherwise` says what to do
    with a file that was downloaded by hand.

    Raises:
        FineTuningError: There is no pip, or it could not.
    """
    by_hand = f"download {wheel.package} elsewhere and {otherwise}"
    if importlib.util.find_spec("pip") is None:
        raise FineTuningError(
            f"{what} fetched by pip, which is not installed here: run python -m ensurepip, or"
            f" {by_hand}."
        )
    print_line(f"Downloading {wheel.package}", err=True)
    asked = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    asked += ["--no-input", "--disable-pip-version-check", "--dest", str(folder), wheel.package]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = done.stderr.strip().splitlines()
        raise FineTuningError(
            f"pip could not download {wheel.package}: {said[-1] if said else done.returncode}. "
            f"Check the network and pip's settings, or {by_hand}."
        )
    return wheels[0]


def check(wheel: PinnedWheel, file: Path) -> None:
    """Refuse a file that is not the wheel.

    Raises:
        FineTuningError: Its checksum is another one.
    """
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != wheel.sha256:
        raise FineTuningError(
            f"{file.name} is not the file of {wheel.package} that is expected: its SHA-256 is "
            f"{found}, not {wheel.sha256}. Nothing of it was used."
        )
