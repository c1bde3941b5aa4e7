"""What the new model is trained on: the files of the old one, its recorded answers, or both."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from langchain_finetune.convert.fingerprints import exact_key
from langchain_finetune.errors import FineTuningError
from langchain_finetune.loaders.files import RunFileChatLoader
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.migration.archive import MANIFEST, RescueManifest
from langchain_finetune.migration.prompts import make_prompt
from langchain_finetune.migration.recording import RECORDING, ModelRecording
from langchain_finetune.sessions import FineTuningSession, Sessions, Skip

TrainOn = Literal["auto", "files", "recording", "both"]
"""`auto`: the training file if it was rescued, or else the recording."""

_TRAINING = "training.jsonl"


@dataclass(frozen=True)
class TrainingData:
    """The data of the new model.

    Attributes:
        paths: Files of training lines.
        origin: `files`, `recording` or `both`.
        held_out: Keys of the requests that are never trained on.
    """

    paths: list[Path]
    origin: str
    held_out: frozenset[bytes]

    @property
    def described(self) -> str:
        """What they are, in words."""
        files, recording = "the rescued training file", "the recording"
        both = f"{files} and {recording}"
        return {"files": files, "recording": recording, "both": both}[self.origin]

    def sessions(self) -> Sessions:
        """Return the chats; those with a held-out request are skipped as `held_out`."""
        return Sessions(self._read)

    def _read(self, skip: Callable[[Skip], None]) -> Iterator[FineTuningSession]:
        for session in RunFileChatLoader(self.paths).read_sessions({}, skip):
            if self._is_held_out(session):
                reason = "Its request is in the part of the recording that is never trained on."
                skip(Skip(_id_of(session), "held_out", reason))
            else:
                yield session

    def _is_held_out(self, session: FineTuningSession) -> bool:
        try:
            return exact_key(make_prompt(session, {}).request) in self.held_out
        except UnreadableChatError:
            return False  # `Convert` says what is wrong with it.


def _id_of(session: FineTuningSession) -> str:
    source = session.get("source", {})
    return next((source[name] for name in ("line", "run_id") if name in source), "?")


def training_data(
    model: str, rescued: Path | None, recording: ModelRecording, train_on: TrainOn
) -> TrainingData:
    """Choose the data.

    Args:
        model: The old model.
        rescued: Folder of its rescue, if there is one.
        recording: Its recording; the held-out part is never trained on.
        train_on: What to train on.

    Raises:
        FineTuningError: `files` or `both` is asked for, and the training file was not rescued.
    """
    file = _rescued_file(model, rescued)
    if train_on in {"files", "both"} and file is None:
        raise FineTuningError(
            f"No supervised training file of {model} was rescued, so it can't be trained on "
            f"({train_on!r}): train on the recording."
        )
    recorded = recording.folder / RECORDING
    origin = ("files" if file else "recording") if train_on == "auto" else train_on
    paths = [file] if file and origin != "recording" else []
    if origin != "files":
        paths.append(recorded)
    held_out = frozenset(
        exact_key(prompt.request) for prompt in recording.prompts() if prompt.held_out
    )
    return TrainingData(paths, origin, held_out)


def _rescued_file(model: str, rescued: Path | None) -> Path | None:
    """Return the rescued training file of a model, if it holds supervised lines."""
    if rescued is None or not (rescued / MANIFEST).is_file():
        return None
    found = RescueManifest.read(rescued).models.get(model)
    if found is None or _TRAINING not in found.files:
        return None
    is_supervised = found.model.method in {None, "supervised"}
    return rescued / found.folder / _TRAINING if is_supervised else None
