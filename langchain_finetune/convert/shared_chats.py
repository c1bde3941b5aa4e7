"""Finds the chats that were drawn for more than one part of a split, in little memory."""

import sqlite3

from langchain_finetune.convert.rows import Part

_TABLE = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4096;
CREATE TABLE chat (key BLOB PRIMARY KEY, part TEXT, shared INTEGER DEFAULT 0) WITHOUT ROWID;
BEGIN;
"""
_ADD = """
INSERT INTO chat (key, part) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET shared = 1 WHERE part <> excluded.part
"""


class SharedChats:
    """Which chats stand in several parts, word for word.

    It is a temporary database of SQLite that holds hashes and no text.

    Example:
        >>> chats = SharedChats()
        >>> chats.add(b"hello", "train"), chats.add(b"bye", "test"), chats.add(b"hello", "test")
        (None, None, None)
        >>> chats.are_in_several(b"hello"), chats.are_in_several(b"bye")
        (True, False)
        >>> chats.close()
    """

    def __init__(self) -> None:
        # An iterator may be handed from one thread to another, but is never in two at once.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_TABLE)

    def add(self, key: bytes, part: Part) -> None:
        """Note that a chat of this key stands in a part."""
        self._database.execute(_ADD, (key, part))

    def are_in_several(self, key: bytes) -> bool:
        """Tell whether chats of this key stand in more than one part."""
        found = self._database.execute("SELECT shared FROM chat WHERE key = ?", (key,)).fetchone()
        return found is not None and bool(found[0])

    def close(self) -> None:
        """Forget all."""
        self._database.close()
