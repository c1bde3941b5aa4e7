"""The training files on disk, their manifest, and the job that is made from them."""

import errno
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import orjson

from langchain_finetune.checks import OPENAI, Profile, check_size
from langchain_finetune.convert.contract import ContractBuilder, TrainedContract
from langchain_finetune.convert.estimate import Budget
from langchain_finetune.convert.examples import Examples
from langchain_finetune.convert.jsonl import JsonlWriter, WrittenFile
from langchain_finetune.convert.progress import TellConversion, observed
from langchain_finetune.convert.report.conversion_report import ConversionReport
from langchain_finetune.convert.report.remedies import remedy
from langchain_finetune.convert.report.statistics import Tally
from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.convert.split import PARTS
from langchain_finetune.display.text import counted
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.jobs import NewJob
from langchain_finetune.errors import ConvertError
from langchain_finetune.sessions import Skip, summary

FINGERPRINT = "fingerprint"
SUBMISSION = "submission"
TRAINING_SHA256 = "training_sha256"
EXAMPLES = "examples"
"""Keys of a job's metadata, which holds up to 16 pairs of 64 and 512 characters."""

MANIFEST = "manifest.json"
_FORMAT = 1
"""Version of the manifest; changes if older readers could not read it."""


@dataclass(frozen=True)
class Spooled:
    """A set of training files on disk; the validation and test files only if they were asked for.

    In its folder are also `manifest.json`, `sources.jsonl` (where each example comes from),
    `report.json` and `report.html`. The test file is not for the engine.
    """

    folder: Path
    training: WrittenFile
    validation: WrittenFile | None
    test: WrittenFile | None
    report: ConversionReport
    contract: TrainedContract


def spool(
    examples: Examples,
    folder: Path,
    *,
    target: Target,
    budget: Budget = Budget(),  # noqa: B008 - it is frozen
    tell: TellConversion | None = None,
) -> Spooled:
    """Write the examples to disk in one pass: a file for each part, and a report.

    A set of files has a folder of its own, named after the SHA-256 of its manifest: the same chats
    and settings give the same files in the same place.

    Raises:
        ConvertError: There are fewer than ten training examples, or none in a part that was asked
            for, or a file is larger than the engine takes. Nothing is left behind then.
        BudgetError: Training on them would take too much; likewise.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    with _on_a_full_disk(folder), TemporaryDirectory(dir=folder, prefix="writing-") as fresh:
        made = _write_set(examples, Path(fresh, "set"), target, budget, tell)
        name = hashlib.sha256((made.folder / MANIFEST).read_bytes()).hexdigest()[:16]
        return _placed(made, folder / name)


def spooled_set(metadata: Mapping[str, Any], home: Path) -> Path | None:
    """Return the newest folder of the data that a model was trained with, by its metadata.

    None if that is not known, or not on this machine.
    """
    sha256 = metadata.get(TRAINING_SHA256)
    found = [
        path
        for path in (home / "spool").glob(f"*/{MANIFEST}")
        if sha256 and orjson.loads(path.read_bytes())["files"]["train"]["sha256"] == sha256
    ]
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent if found else None


def write_training_files(
    examples: Examples, folder: Path, *, target: Target, tell: TellConversion | None = None
) -> Spooled:
    """Write to a folder what `FineTune` would send, and what lies beside it: see `spool`.

    The folder is made, for its owner only; a set of files that is there already is replaced.

    Raises:
        ConvertError: As `spool`, or the folder holds something else. Nothing is changed then.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise ConvertError(f"{folder} is a file: name a folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise ConvertError(
            f"{folder} holds other files than a set of training files: name an empty folder, or a "
            "new one."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh_folder = TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-")
    with _on_a_full_disk(folder), fresh_folder as fresh:
        made = _write_set(examples, Path(fresh, "set"), target, Budget(), tell)
        return _placed(made, folder)


@contextmanager
def _on_a_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise  # A loader's, such as of its network.
        raise ConvertError(
            f"The disk of {folder} or of {gettempdir()} is full: nothing was sent, and what was "
            "begun is removed. Make room on it, and run the same again."
        ) from error


def _write_set(
    examples: Examples, folder: Path, target: Target, budget: Budget, tell: TellConversion | None
) -> Spooled:
    """Write all files of a set to a new folder."""
    folder.mkdir(mode=0o700)
    tally = Tally()
    contract = ContractBuilder()
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(JsonlWriter(folder / f"{name}.jsonl"))
            for name in (*PARTS, "sources")
        }
        rows = stack.enter_context(closing(examples.rows(target)))
        for row in tally.passing(observed(rows, examples, tell)):
            writers[row.part].write(row.line)
            if row.part == "train":
                contract.add(row)
            writers["sources"].write(source_line(row, writers[row.part].examples))
        for line in left_out_lines(examples.rejected):
            writers["sources"].write(line)
    files = {name: writer.written() for name, writer in writers.items()}
    rules = engine_of(target.engine).profile if target.engine else OPENAI
    _check_parts(examples, files, rules)
    _check_sizes(files, rules)
    report = examples.summary(tally, target, budget.prices)
    if budget.limits():
        budget.check(report.estimates[0])
    for part in PARTS:
        if not files[part].examples:
            files.pop(part).path.unlink()
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    described = manifest(examples, target, files)
    _write(folder / MANIFEST, orjson.dumps(described, option=option))
    _write(folder / "report.json", report.model_dump_json(indent=2).encode())
    _write(folder / "report.html", report.to_html().encode())
    return Spooled(
        folder,
        files["train"],
        files.get("validation"),
        files.get("test"),
        report,
        contract.contract(),
    )


def _write(path: Path, content: bytes) -> None:
    with JsonlWriter(path) as writer:
        writer.write(content)


def _placed(made: Spooled, target: Path) -> Spooled:
    """Put a set of files where it belongs, in the place of an older one."""
    if not _renamed(made.folder, target):
        names = {path.name for path in made.folder.iterdir()}
        for part in PARTS:
            if f"{part}.jsonl" not in names:
                (target / f"{part}.jsonl").unlink(missing_ok=True)
        for name in names:
            (made.folder / name).replace(target / name)

    def moved(file: WrittenFile) -> WrittenFile:
        return replace(file, path=target / file.path.name)

    return replace(
        made,
        folder=target,
        training=moved(made.training),
        validation=made.validation and moved(made.validation),
        test=made.test and moved(made.test),
    )


def _check_sizes(files: dict[str, WrittenFile], rules: Profile) -> None:
    for part in ("train", "validation"):
        file = files[part]
        # How few examples there may be was looked at before; the test part stays here.
        for finding in check_size(max(file.examples, rules.min_examples), file.size, rules):
            raise ConvertError(
                f"The {part} part can't be sent ({finding.code}): {finding.message} "
                "Select fewer chats, or shorter ones."
            )


def _check_parts(examples: Examples, files: dict[str, WrittenFile], rules: Profile) -> None:
    training = files["train"].examples
    kept = {part: files[part].examples for part in PARTS if part != "train"}
    if training < rules.min_examples:
        found = counted(training, "training example") if training else "no training example"
        parts = [f"The selection gives {found}; at least {rules.min_examples} are needed."]
        for part, count in kept.items():
            if count:
                was = "was" if count == 1 else "were"
                parts.append(f"{count:,} more {was} kept for {part} (Convert's split).")
        left_out = summary(examples.rejected)
        parts.append(f"Left out: {left_out}." if left_out else "Nothing was left out.")
        judged = {"no_pair", "no_thumb"} & examples.rejected_by_reason().keys()
        parts += map(remedy, judged)  # A method has one of them.
        parts.append("Select more chats.")
        raise ConvertError(" ".join(parts))
    for part, count in kept.items():
        if examples.split.asks_for(part) and not count:
            share = getattr(examples.split, part)
            raise ConvertError(
                f"No example fell into the {part} part, though Split({part}={share:g}) asks for "
                "one: whole conversations are drawn, and training got "
                f"{counted(training, 'example')}. Select more chats, or raise the share."
            )


def _renamed(folder: Path, target: Path) -> bool:
    """Give a folder its place, unless there is one: it may be the one that the user stands in."""
    if target.exists():
        return False
    try:
        folder.replace(target)
    except OSError:
        # Another process may just have put the same set there.
        if not target.is_dir():
            raise
        return False
    return True


def manifest(
    examples: Examples, target: Target, files: Mapping[str, WrittenFile]
) -> dict[str, Any]:
    """Return the manifest of the files of one pass, as JSON data.

    The same chats and settings give the same manifest, byte by byte: it contains no time. Functions
    among the settings appear by name only.

    `files` names them by content: `train`, `validation`, `test`, `sources`. The counts are those of
    the last iteration of the examples.
    """
    kept = sum(file.examples for name, file in files.items() if name != "sources")
    return {
        "format": _FORMAT,
        "package": f"langchain-finetune {version('langchain-finetune')}",
        "query": examples.origin,
        "convert": examples.settings,
        "split": examples.settings.get("split"),
        "target": {"engine": target.engine, "model": target.model},
        "files": {
            name: {
                "name": file.path.name,
                "lines": file.examples,
                "bytes": file.size,
                "sha256": file.sha256,
            }
            for name, file in files.items()
        },
        "kept": kept,
        "left_out": examples.rejected_by_reason(),
        "notes": dict(sorted(examples.notes.items())),
    }


def source_line(row: Row, number: int) -> bytes:
    """Return the line of the sources file for an example; its file's lines count from 1."""
    return _line({"part": row.part, "line": number, "id": row.id, **row.source})


def left_out_lines(skips: Iterable[Skip]) -> Iterable[bytes]:
    """Yield the lines of the sources file for the chats that were left out."""
    return (_line({"part": None, "id": skip.id, "left_out": skip.code}) for skip in skips)


def _line(fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE, default=str)


@dataclass(frozen=True, kw_only=True)
class JobSpec(NewJob):
    """A job that can be asked for once its spooled files are uploaded.

    With `max_cost_usd`, it is only if the engine quotes no more; that does not change the job.
    """

    training: WrittenFile
    validation: WrittenFile | None = None
    max_cost_usd: float | None = None

    @property
    def files(self) -> dict[str, WrittenFile]:
        """The files to upload, by the field that takes the id."""
        files = {"training_file": self.training, "validation_file": self.validation}
        return {name: file for name, file in files.items() if file}


def fingerprint_of(spec: JobSpec, account: str) -> str:
    """Return 64 hex digits that are equal for jobs of the same data, settings and account.

    The job's metadata does not count.
    """
    parts: dict[str, Any] = {
        "version": 1,
        "account": account,
        "training": spec.training.sha256,
        "validation": spec.validation.sha256 if spec.validation else None,
        "base": spec.model,
        "weights": _weights_of(spec.model),
        "method": spec.method,
        "hyperparameters": spec.hyperparameters,
        "suffix": spec.suffix,
        "seed": spec.seed,
        **({"extra_body": spec.extra_body} if spec.extra_body else {}),
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _weights_of(base: str) -> list[list[Any]] | None:
    """Return sizes and times of the files of a local folder, by which a changed model is known."""
    folder = Path(base)
    if not (folder.is_absolute() and folder.is_dir()):
        return None
    found = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in found]
