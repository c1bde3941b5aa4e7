"""Cases that the training of a model saw: exactly, nearly, or the same request."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage
from langsmith.schemas import Example

from langchain_finetune.content import joined_text
from langchain_finetune.convert.duplicates import DuplicateIndex
from langchain_finetune.convert.fingerprints import exact_key
from langchain_finetune.convert.rows import Row
from langchain_finetune.errors import CompareError
from langchain_finetune.evaluation.answers import outputs_of, view
from langchain_finetune.evaluation.cases import input_length, messages_of, training_line
from langchain_finetune.evaluation.chains import metadata_of, model_name
from langchain_finetune.evaluation.result import RefusedCase
from langchain_finetune.extras import install_command
from langchain_finetune.finetune.training_files import spooled_set
from langchain_finetune.home import home_path

_NEAR = 0.9
"""Share of three-word sequences that near repetitions have in common, as in `Convert`."""


def training_file(metadata: Mapping[str, Any], home: Path) -> Path | None:
    """Return the training file of a model, by its metadata, if it is on this machine."""
    folder = spooled_set(metadata, home)
    return folder / "train.jsonl" if folder else None


def seen_cases(
    cases: Iterable[tuple[str, dict[str, Any]]], training: Path, *, agent: bool
) -> list[RefusedCase]:
    """Return the cases that a training file contains.

    Near repetitions are looked for if rensa is installed.

    Args:
        cases: Ids of the cases, each with a line of a training file; one may have several.
        training: The training file.
        agent: Whether the request ends with the user's last message; see `cases_of`.
    """
    with closing(DuplicateIndex(_NEAR if near_can_be_found() else None)) as index:
        requests: dict[bytes, str] = {}
        with training.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                row = Row(f"line {number}", {}, line=line)
                index.repeated(row, add=True)
                # A chat trains on each of its answers.
                for key in _request_keys(row, agent=agent):
                    requests.setdefault(key, row.id)
        found: dict[str, RefusedCase] = {}
        for name, example in cases:
            row = Row(name, {}, example=example)
            if repeated := index.repeated(row, add=False):
                line_of, exact = repeated
                what = "it" if exact else "nearly the same"
                reason = f"The training file contains {what} ({line_of})."
            elif line_of_request := requests.get(_request_key(row, agent=agent)):
                reason = f"The training file contains the same request ({line_of_request})."
            else:
                continue
            found.setdefault(name, RefusedCase(id=name, reason=reason))
    return list(found.values())


def sent_lines(
    example: Example, requests: Iterable[Sequence[BaseMessage]], *, agent: bool
) -> list[dict[str, Any]]:
    """Return the requests that a chain sent for a case, each with the case's answer.

    They are lines of a training file. The case's own request is not among them.
    """
    own = training_line(example)
    answer = [{"role": "assistant", "content": view(example.outputs).text}]
    known = set()
    if own is not None:
        row = Row("", {}, example=own)
        known.add(_request_key(row, agent=agent))
        answer = own["messages"][_cut(own["messages"], agent=agent) :] or answer
    found = []
    for request in requests:
        line = {"messages": [*outputs_of({"messages": request})["messages"], *answer]}
        key = _request_key(Row("", {}, example=line), agent=agent)
        if key not in known:
            found.append(line)
        known.add(key)
    return found


def refusals(
    examples: Sequence[Example], model: Any, *, agent: bool
) -> tuple[list[RefusedCase], list[str]]:
    """Return the cases that training saw, and what could not be checked."""
    metadata = metadata_of(model)
    name = model_name(model)
    file = training_file(metadata, home_path())
    if file is None:
        known = "is not on this machine" if metadata.get("training_sha256") else "is not known"
        told = f"The training file of {name} {known}: whether training saw the cases is unchecked."
        return [], [told]
    lines = [(str(each.id), training_line(each)) for each in examples]
    chats = [(name, line) for name, line in lines if line is not None]
    notes = []
    if not near_can_be_found():
        notes.append(
            "Only exact repetitions of training examples were left out: near ones need rensa, "
            f"{install_command('dedup')}."
        )
    return seen_cases(chats, file, agent=agent), notes


def check_left(kept: Mapping[str, Example], refused: int, model: Any) -> None:
    """Check that there are cases that training did not see.

    Raises:
        CompareError: No case is left.
    """
    if not kept:
        raise CompareError(
            f"All {refused} cases are in the training file of {model_name(model)}, so they "
            "can't show how it does on others. Hold some out: Convert(split=Split(test=0.2))."
        )


def near_can_be_found() -> bool:
    """Return whether rensa, an extra, is installed."""
    return find_spec("rensa") is not None


def _request_key(row: Row, *, agent: bool) -> bytes:
    *_, last = (b"", *_request_keys(row, agent=agent))
    return last


def _request_keys(row: Row, *, agent: bool) -> Iterator[bytes]:
    """Yield a key of what comes before each answer of a chat; of an agent's, each whole run."""
    key = b""
    for message, following in pairwise(messages_of(row)):
        # Each builds on the one before, so that a long chat is read once.
        before = {"role": "system", "content": key.hex()}
        key = exact_key({"messages": [before, _as_asked(message)]})
        asks = message.get("role") == "user" or not agent
        if asks and following.get("role") == "assistant":
            yield key


def _as_asked(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message without what makes it no other question, such as case and white space."""
    known = dict(message)
    if known.get("role") == "developer":
        known["role"] = "system"
    if known.get("role") in {"system", "user"}:
        known.pop("name", None)
    content = joined_text(known.get("content"))
    if isinstance(content, str):
        known["content"] = " ".join(content.casefold().split())
    return known


def _cut(messages: Sequence[Mapping[str, Any]], *, agent: bool) -> int:
    return input_length(messages) if agent else len(messages) - 1
