"""Training files that are written to an object store."""

from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.progress import TellConversion
from langchain_finetune.convert.rows import Target
from langchain_finetune.convert.split import PARTS
from langchain_finetune.errors import ConvertError
from langchain_finetune.finetune.training_files import MANIFEST, Spooled, write_training_files
from langchain_finetune.remote_files import RemoteFile, remote_errors

_FIRST = "sources.jsonl"
"""Is written first, so that a set whose writing was interrupted is known as one."""


def write_remote_set(
    examples: Examples, place: RemoteFile, *, target: Target, tell: TellConversion | None = None
) -> Spooled:
    """Write to a folder of an object store what `write_training_files` writes to one of a disk.

    The files are made on this machine first. The manifest is written last, and that of an older set
    is removed first: where one is, all its files are.

    Returns:
        The set, whose paths are those on this machine, where the files are no longer.

    Raises:
        ConvertError: As `write_training_files`; nothing is changed then. Or the object store can't
            be reached, or refuses the keys.
    """
    folder = RemoteFile(f"{str(place).rstrip('/')}/")
    with remote_errors(place, "can't be written to", ConvertError):
        there = {str(file).removeprefix(str(folder)) for file in folder.files_below()}
    if there and not there & {MANIFEST, _FIRST}:
        raise ConvertError(
            f"{place} holds other files than a set of training files: name an empty folder, or a "
            "new one."
        )
    with TemporaryDirectory(prefix="langchain-finetune-set-") as fresh:
        made = write_training_files(examples, Path(fresh, "set"), target=target, tell=tell)
        names = {path.name for path in made.folder.iterdir()} - {MANIFEST, _FIRST}
        with remote_errors(place, "can't be written to", ConvertError):
            for name in {MANIFEST, *(f"{part}.jsonl" for part in PARTS)} & there - names:
                folder.with_name(name).delete()
            for name in (_FIRST, *sorted(names), MANIFEST):
                folder.with_name(name).upload(made.folder / name)
    return made
