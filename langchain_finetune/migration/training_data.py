"""What the new model is trained on: the files of the old one, its recorded answers, or both."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_finetune.content import mapping
from langchain_finetune.convert.fingerprints import exact_key
from langchain_finetune.errors import FineTuningError
from langchain_finetune.loaders.files import RunFileChatLoader
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.migration.archive import CHANGED, is_whole, rescued_model
from langchain_finetune.migration.prompts import sent_messages
from langchain_finetune.migration.recording import ModelRecording
from langchain_finetune.sessions import FineTuningSession, Sessions, Skip, wire_messages

TrainOn = Literal["auto", "files", "recording", "both"]
"""`auto`: the training file if it was rescued, or else the recording."""

TRAINING = "training.jsonl"


@dataclass(frozen=True)
class TrainingData:
    """The data of the new model.

    Attributes:
        file: The rescued training file, if it is trained on.
        recording: The recording, whose held-out requests are never trained on.
        origin: `files`, `recording` or `both`.
        why: Why the training file is not trained on, if it isn't.
    """

    file: Path | None
    recording: ModelRecording
    origin: str
    why: str | None = None

    @property
    def described(self) -> str:
        """What they are, in words."""
        files, recording = "the rescued training file", "the recorded answers"
        both = f"{files} and {recording}"
        found = {"files": files, "recording": recording, "both": both}[self.origin]
        return f"{found} ({self.why})" if self.why else found

    def sessions(self) -> Sessions:
        """Return the chats; those in which a held-out request is answered are skipped."""
        held_out = {_request(each.request) for each in self.recording.prompts() if each.held_out}

        def read(skip: Callable[[Skip], None]) -> Iterator[FineTuningSession]:
            for session in self._all(skip):
                if held_out.isdisjoint(_answered_requests(session)):
                    yield session
                else:
                    reason = "It has a request of the part that is never trained on."
                    skip(Skip(_id_of(session), "held_out", reason))

        return Sessions(read)

    def gaps(self) -> str:
        """Return what the held-out requests have and the data do not, in words, or nothing."""
        held_out = [_tools(each.request) for each in self.recording.prompts() if each.held_out]
        missing = set[str]().union(*held_out)
        for session in self.sessions() if missing else ():
            missing -= _tools(session)
            if not missing:
                return ""
        count = sum(not missing.isdisjoint(tools) for tools in held_out)
        told = f"{count} of {len(held_out)} held-out requests offer tools that no training chat has"
        return f"; {told}: train on both (--train-on both)" if count else ""

    def _all(self, skip: Callable[[Skip], None]) -> Iterator[FineTuningSession]:
        if self.file is not None:
            yield from RunFileChatLoader(self.file).read_sessions({}, skip)
        if self.origin != "files":
            yield from self.recording.sessions()


def _tools(request: Mapping[str, Any]) -> set[str]:
    """Return the names of the tools that a request offers."""
    inner = [mapping(mapping(each).get("function")) for each in request.get("tools") or ()]
    return {str(each["name"]) for each in inner if each.get("name")}


def _answered_requests(session: FineTuningSession) -> Iterator[bytes]:
    """Yield the key of what comes before each answer: a chat trains on all of its answers."""
    try:
        messages = sent_messages(wire_messages(session))
    except UnreadableChatError:
        return  # `Convert` says what is wrong with it.
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            yield _request({"messages": messages[:place]})


def _request(request: Mapping[str, Any]) -> bytes:
    """Return the key of a request: what its messages say, spelt in any way, with any tools."""
    return exact_key({"messages": [_spelt(message) for message in request["messages"]]})


def _spelt(message: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in message.items() if name != "name"}
    if isinstance(text := found.get("content"), str):
        found["content"] = " ".join(text.split()).casefold()
    return found | ({"role": "system"} if message["role"] == "developer" else {})


def _id_of(session: FineTuningSession) -> str:
    source = session.get("source", {})
    return next((source[name] for name in ("line", "run_id") if name in source), "?")


def training_data(
    model: str, rescued: Path, recording: ModelRecording, train_on: TrainOn
) -> TrainingData:
    """Choose the data.

    Args:
        model: The old model.
        rescued: Folder of its rescue; it may be missing.
        recording: Its recording.
        train_on: What to train on.

    Raises:
        FineTuningError: `files` or `both` is asked for, and the training file was not rescued; or
            it is not as it was rescued.
    """
    if train_on == "recording":
        return TrainingData(None, recording, "recording")
    file, why = _rescued_file(model, rescued)
    if train_on in {"files", "both"} and file is None:
        raise FineTuningError(
            f"{model} can't be trained on {train_on!r}: {why}. Train on the recording."
        )
    origin = ("files" if file else "recording") if train_on == "auto" else train_on
    return TrainingData(file, recording, origin, why)


def _rescued_file(model: str, rescued: Path) -> tuple[Path | None, str | None]:
    """Return the rescued training file of a model, or why there is none to train on."""
    found = rescued_model(rescued, model)
    if found is None or not found.model.training_file:
        return None, "the account lists no training file of it"
    known = found.files.get(TRAINING)
    if known is None:
        lost = [item for item in found.missing if item.what == "training file"]
        return None, f"its training file is {lost[0].state if lost else 'missing'}"
    if found.model.method not in {None, "supervised"}:
        return None, f"its training file is for {found.model.method}, not for supervised training"
    path = rescued / found.folder / TRAINING
    if not is_whole(path, known):
        raise FineTuningError(
            f"{path} was {CHANGED}: restore it, or train on the recording (--train-on recording)."
        )
    return path, None
