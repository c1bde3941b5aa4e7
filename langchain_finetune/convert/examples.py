"""Training examples that are made when they are iterated, and their file."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
from langchain_core.chat_sessions import ChatSession

from langchain_finetune.errors import ConvertError
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import Sessions, Skip

Example = dict[str, Any]
"""One line of a training file: `{"messages": [...], "tools": [...], ...}`."""


@dataclass(frozen=True)
class WrittenFile:
    """A training file on disk.

    Attributes:
        path: Where it is.
        examples: How many lines it has.
        size: Its bytes.
        sha256: Their SHA-256, in hex.
    """

    path: Path
    examples: int
    size: int
    sha256: str


class Examples:
    """Training examples, made anew each time they are iterated.

    Iterating gives plain dicts: exactly the lines of the training file.

    Args:
        sessions: The chats.
        convert: Makes the example of a chat; also tells how many messages it left out. Raises
            `UnreadableChatError` for a chat that makes none.

    Attributes:
        trimmed_messages: How many messages after a chat's last answer the last iteration left
            out; they teach nothing.

    Example:
        >>> examples = Examples([{}], lambda session: ({"messages": []}, 0))
        >>> list(examples) == list(examples)
        True
    """

    def __init__(
        self,
        sessions: Iterable[ChatSession],
        convert: Callable[[ChatSession], tuple[Example, int]],
    ) -> None:
        self._sessions = sessions
        self._convert = convert
        self._rejected: list[Skip] = []
        self.trimmed_messages = 0

    def __iter__(self) -> Iterator[Example]:
        self._rejected = []
        self.trimmed_messages = 0
        for position, session in enumerate(self._sessions):
            try:
                example, trimmed = self._convert(session)
            except UnreadableChatError as error:
                source_id = _source_id(session, position)
                self._rejected.append(Skip(source_id, error.code, str(error)))
                continue
            except (AttributeError, KeyError, TypeError) as error:
                # A list can hold anything.
                raise ConvertError(
                    f"Item {position} is no chat session: a dict with `messages` is needed."
                ) from error
            self.trimmed_messages += trimmed
            yield example

    @property
    def rejected(self) -> list[Skip]:
        """Chats of the last iteration that make no example; the loader's skips come first."""
        skipped = self._sessions.skipped if isinstance(self._sessions, Sessions) else []
        return [*skipped, *self._rejected]

    @property
    def notes(self) -> dict[str, int]:
        """What the loader noticed in the last iteration, counted; see `Sessions.notes`."""
        return dict(self._sessions.notes) if isinstance(self._sessions, Sessions) else {}

    def rejected_by_reason(self) -> dict[str, int]:
        """Return how many chats were rejected for each reason code, most frequent first."""
        return dict(Counter(skip.code for skip in self.rejected).most_common())

    def write_jsonl(self, path: str | os.PathLike[str]) -> WrittenFile:
        """Write the training file in one pass, and put it in place when it is whole.

        Args:
            path: The file to write; an older one is replaced.

        Returns:
            Count, size and SHA-256 of what was written.
        """
        with JsonlWriter(Path(path)) as writer:
            for example in self:
                writer.write(encode_line(example))
        return writer.written()

    def __repr__(self) -> str:
        return "Examples(<made when iterated>)"


class JsonlWriter:
    """Writes lines to a file that appears only when it is whole.

    Use as a context manager: an exception inside leaves nothing behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
        self._hash = hashlib.sha256()
        self.examples = 0
        self.size = 0

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Training text is private: only its owner may read the file.
        descriptor = os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def write(self, line: bytes) -> None:
        """Append one line, its newline included."""
        self._file.write(line)
        self._hash.update(line)
        self.examples += 1
        self.size += len(line)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._fresh.replace(self.path)
        else:
            self._fresh.unlink()

    def written(self) -> WrittenFile:
        """Return what was written."""
        return WrittenFile(self.path, self.examples, self.size, self._hash.hexdigest())


def _source_id(session: ChatSession, position: int) -> str:
    source: Any = session.get("source") or {}
    for name in ("run_id", "example_id", "line"):
        if name in source:
            return str(source[name])
    return f"session {position}"


def encode_line(example: Mapping[str, Any]) -> bytes:
    """Return an example as one line of JSON in UTF-8; keys keep their order.

    Tools are rendered into the prompt in the order that they have, so it must stay.
    """
    return orjson.dumps(example, option=orjson.OPT_APPEND_NEWLINE)
