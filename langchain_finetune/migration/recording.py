"""The folder of a recording: prompts, the journal of answers, the files made from them.

- `prompts.jsonl`: what is asked, fixed at the first start;
- `answers.jsonl`: the journal. A line is appended, and on the disk, before a request is sent, and
  one when its outcome is known;
- `recording.jsonl`, `held_out.jsonl`: training lines with the answers at temperature 0;
- `left_out.jsonl`: chats that are not asked again, with the reason;
- `manifest.json`: model, counts, usage, cost, and the hash of each file.

All are readable only by their owner.
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_finetune.dialects.file_row import read_training_line
from langchain_finetune.errors import FineTuningError
from langchain_finetune.migration.folders import read_manifest, write_private
from langchain_finetune.migration.journal import AnswerJournal, AnswerUsage, RecordedAnswer
from langchain_finetune.migration.prices import InferencePrice
from langchain_finetune.migration.prompts import RecordedPrompt
from langchain_finetune.sessions import FineTuningSession, Sessions, Skip

PROMPTS, ANSWERS = "prompts.jsonl", "answers.jsonl"
RECORDING, HELD_OUT, LEFT_OUT = "recording.jsonl", "held_out.jsonl", "left_out.jsonl"

_LINE_FIELDS = ("messages", "tools", "functions", "parallel_tool_calls", "response_format")


class PromptSettings(BaseModel):
    """What the prompts of a recording were selected by; see `record`.

    Attributes:
        sources: Names of the sources.
        limit: Most prompts.
        held_out: Share of the prompts that is never trained on.
        seed: The seed.
        settings: Settings that replace those of all prompts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: list[str] = Field(default_factory=list)
    limit: int = 500
    held_out: float = 0.2
    seed: int = 0
    settings: dict[str, Any] | None = None

    def changed(self, wanted: Self, *, resumed: bool) -> list[str]:
        """Return what differs, in words, and can't be had by adding prompts.

        With `resumed`, settings that have their default were not given.

        Example:
            >>> PromptSettings(limit=8).changed(PromptSettings(limit=4), resumed=False)
            ['limit=8 (now 4)']
        """
        found = []
        for name in ("limit", "held_out", "seed", "settings"):
            was, now = getattr(self, name), getattr(wanted, name)
            given = not resumed or now != type(self).model_fields[name].default
            more = name == "limit" and not resumed and now > was
            if now != was and given and not more:
                found.append(f"{name}={was} (now {now})")
        return found


class RecordingManifest(BaseModel):
    """What a recording has: the content of its `manifest.json`.

    Attributes:
        id: Id of the recording; part of the metadata of each request.
        model: The model.
        engine: Name of its engine.
        base_url: Address of the engine.
        version: Version of this package.
        started_at: When the recording began.
        updated_at: When this was last written.
        finished_at: When each answer was there, or known not to come.
        shutdown_date: When the model stops answering, if known.
        answers: Answers per prompt at the app's own temperature.
        selection: What the prompts were selected by.
        prompts: Number of prompts.
        held_out: How many of them are never trained on.
        origins: Their number by origin.
        strata: Their number by stratum.
        left_out: Chats that are not asked again, by reason.
        outcomes: Answers by outcome: `answered`, of these `cut_off`; `failed`; `unknown` (paid
            for, perhaps, but never received); `missing` (not asked yet).
        failures: Failed answers by reason.
        stored: Whether the server lists the completions that it was asked to store, so that
            answers that were not received are found; None before any answer.
        usage: Tokens of the answers.
        price: The price, if known.
        usd: The cost of the answers so far, if the price is known.
        files: SHA-256 of each file, in hex, as of `updated_at`.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    model: str
    engine: str
    base_url: str
    version: str
    started_at: dt.datetime
    updated_at: dt.datetime
    finished_at: dt.datetime | None = None
    shutdown_date: str | None = None
    answers: int
    selection: PromptSettings | None = None
    prompts: int
    held_out: int
    origins: dict[str, int]
    strata: dict[str, int]
    left_out: dict[str, int]
    outcomes: dict[str, int] = Field(default_factory=dict)
    failures: dict[str, int] = Field(default_factory=dict)
    stored: bool | None = None
    usage: AnswerUsage = AnswerUsage()
    price: InferencePrice | None = None
    usd: float | None = None
    files: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the manifest of a folder.

        Raises:
            FineTuningError: The folder has none, or it is damaged.
        """
        return read_manifest(cls, folder, "a recording", "Record")


@dataclass(frozen=True)
class ModelRecording:
    """A recording on disk: the answers of a model, to train on and to compare with.

    Attributes:
        folder: Its folder.
        manifest: What it has.

    Example:
        ```python
        recording = ModelRecording.read("recorded")
        model = (Convert() | FineTune(model="nano", engine="local")).invoke(recording.sessions())
        for prompt in recording.prompts():
            print(prompt.id, recording.answers().get(prompt.id))
        ```
    """

    folder: Path
    manifest: RecordingManifest

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the recording of a folder, also an incomplete one.

        Raises:
            FineTuningError: There is none, or it is damaged.
        """
        return cls(Path(folder).expanduser(), RecordingManifest.read(folder))

    @property
    def complete(self) -> bool:
        """Whether each answer is there, or known not to come."""
        return not self.manifest.outcomes.get("missing", self.manifest.prompts)

    @property
    def is_settled(self) -> bool:
        """Whether each answer at temperature 0 is there, or known not to come."""
        journal = AnswerJournal(self.folder / ANSWERS, writes=False)
        known = journal.answered.keys() | journal.failed.keys() | journal.unknown
        return all((prompt.id, 0) in known for prompt in self.prompts())

    def sessions(self, *, held_out: bool = False) -> Sessions:
        """Return the chats with the answers at temperature 0, to train on or to compare with.

        They are those of `recording.jsonl`, or of `held_out.jsonl`. Unlike when the files are
        loaded, their `source` has the ids of where the prompts come from, so that conversations
        stay together.

        Args:
            held_out: The part that is never trained on, instead of the other one.
        """

        def read(_: Callable[[Skip], None]) -> Iterator[FineTuningSession]:
            journal = AnswerJournal(self.folder / ANSWERS, writes=False)
            for prompt, line in _training_lines(self.prompts(), journal, held_out=held_out):
                [session] = read_training_line(line, prompt.id)
                session["source"] = {**prompt.source, "prompt_id": prompt.id}
                yield session

        origin = {"recording": self.manifest.id, "model": self.manifest.model}
        return Sessions(read, origin={**origin, "held_out": held_out})

    def prompts(self) -> list[RecordedPrompt]:
        """Return the prompts."""
        return read_prompt_file(self.folder)

    def answers(self) -> dict[str, list[RecordedAnswer]]:
        """Return the answers of each prompt, the one at temperature 0 first."""
        journal = AnswerJournal(self.folder / ANSWERS, writes=False)
        found: dict[str, list[RecordedAnswer]] = {}
        for key in sorted(journal.answered):
            found.setdefault(key[0], []).append(journal.answered[key])
        return found


def read_prompt_file(folder: Path) -> list[RecordedPrompt]:
    """Return the prompts of a folder.

    Raises:
        FineTuningError: They are damaged or missing.
    """
    path = folder / PROMPTS
    try:
        lines = path.read_bytes().splitlines()
        return [RecordedPrompt.model_validate_json(line) for line in lines]
    except (FileNotFoundError, ValidationError) as error:
        raise FineTuningError(
            f"{path} is missing or damaged: restore it, or record into another folder."
        ) from error


def write_prompts(
    folder: Path, prompts: Iterable[RecordedPrompt], left_out: Iterable[Skip]
) -> None:
    """Write what is asked, and what is not."""
    skipped = ({"id": each.id, "code": each.code, "reason": each.reason} for each in left_out)
    write_lines(folder / LEFT_OUT, skipped)
    write_lines(folder / PROMPTS, (prompt.model_dump() for prompt in prompts))


def write_training_lines(
    folder: Path, prompts: list[RecordedPrompt], journal: AnswerJournal
) -> None:
    """Write the answers at temperature 0 as training lines; without those that were cut off."""
    for name, held_out in ((RECORDING, False), (HELD_OUT, True)):
        lines = _training_lines(prompts, journal, held_out=held_out)
        write_lines(folder / name, (line for _, line in lines))


def _training_lines(
    prompts: list[RecordedPrompt], journal: AnswerJournal, *, held_out: bool
) -> Iterator[tuple[RecordedPrompt, dict[str, Any]]]:
    for prompt in prompts:
        answer = journal.answered.get((prompt.id, 0))
        if prompt.held_out is held_out and answer is not None and answer.cut_off is None:
            line = {name: prompt.request[name] for name in _LINE_FIELDS if name in prompt.request}
            yield prompt, {**line, "messages": [*line["messages"], answer.message]}


def counted(
    manifest: RecordingManifest, prompts: list[RecordedPrompt], journal: AnswerJournal
) -> None:
    """Bring the manifest's counts up to date."""
    wanted = len(prompts) * (1 + manifest.answers)
    answered = list(journal.answered.values())
    failed = journal.failed.keys() - journal.answered.keys()
    manifest.outcomes = {
        "answered": len(answered),
        "cut_off": sum(each.cut_off is not None for each in answered),
        "failed": len(failed),
        "unknown": len(journal.unknown),
        "missing": max(wanted - len(answered) - len(failed) - len(journal.unknown), 0),
    }
    manifest.failures = dict(Counter(journal.failed[key][0] for key in failed).most_common())
    manifest.usage = journal.usage
    manifest.usd = journal.usage.cost(manifest.price)
    manifest.updated_at = dt.datetime.now(dt.UTC)


def described(prompts: Sequence[RecordedPrompt], left_out: Iterable[Skip]) -> dict[str, Any]:
    """Return the manifest's fields on prompts and what was left out."""
    return {
        "prompts": len(prompts),
        "held_out": sum(prompt.held_out for prompt in prompts),
        "origins": dict(Counter(prompt.origin for prompt in prompts)),
        "strata": dict(Counter(prompt.stratum for prompt in prompts).most_common()),
        "left_out": dict(Counter(skip.code for skip in left_out).most_common()),
    }


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a recording."""
    found = {}
    for name in (PROMPTS, ANSWERS, RECORDING, HELD_OUT, LEFT_OUT):
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write rows as JSON lines, atomically and onto the disk, for the owner only."""
    write_private(
        path, b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    )
