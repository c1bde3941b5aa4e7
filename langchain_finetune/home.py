"""Where the embedded engine keeps its state, and how others find it.

The engine writes two small files into its home; everyone else only reads them:

- `api_key`: the key that requests must carry, readable by its owner only;
- `engine.json`: address and process of the engine that runs now.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from pydantic import SecretStr

from langchain_finetune.errors import FineTuningError

HOME_VARIABLE = "LANGCHAIN_FINETUNE_HOME"
"""Folder of the engine's state and of the spool; by default the platform's user data folder."""

KEY_VARIABLE = "LANGCHAIN_FINETUNE_API_KEY"
"""The engine's key, for the engine and its callers, instead of the file `api_key` in the home."""


def home_path() -> Path:
    """Return the folder of the engine's state; it need not exist yet.

    It is `$LANGCHAIN_FINETUNE_HOME`, or the platform's folder for user data.
    """
    if given := os.environ.get(HOME_VARIABLE):
        return Path(given).expanduser().resolve()
    return platformdirs.user_data_path("langchain-finetune")


def ensure_home(home: Path) -> Path:
    """Make the home, for its owner only, where there is none, and return it.

    Raises:
        FineTuningError: The folder can't be made or used.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError("it can't be written to")
    except OSError as error:
        raise FineTuningError(
            f"The home folder {home} can't be used ({error.strerror or error}): "
            f"set {HOME_VARIABLE} to another."
        ) from error
    return home


def read_key(home: Path) -> SecretStr | None:
    """Return the engine's key: `$LANGCHAIN_FINETUNE_API_KEY`, the kept one, or None."""
    if given := os.environ.get(KEY_VARIABLE):
        return SecretStr(given)
    try:
        return SecretStr((home / "api_key").read_text().strip())
    except (FileNotFoundError, NotADirectoryError):
        return None


def ensure_key(home: Path) -> SecretStr:
    """Return the engine's key; make and keep one where there is none.

    Raises:
        FineTuningError: Others can read the kept one.
    """
    if key := read_key(home):
        _require_private(home / "api_key")
        return key
    ensure_home(home)
    key = SecretStr("lcft-" + secrets.token_urlsafe(24))
    fresh = home / f"api_key.{secrets.token_hex(4)}"
    fresh.touch(mode=0o600)
    fresh.write_text(key.get_secret_value())
    try:
        # A link fails where a key has been made meanwhile, so two starters agree on one.
        os.link(fresh, home / "api_key")
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return read_key(home) or key


def _require_private(path: Path) -> None:
    # Windows has no such modes, and a key from the environment is in no file.
    if os.name != "posix" or os.environ.get(KEY_VARIABLE):
        return
    if path.stat().st_mode & 0o077:
        raise FineTuningError(
            f"Others on this machine can use the engine's key: run chmod 600 {path}, or delete that"
            f" file for a new key. Where modes can't be changed, give the key in {KEY_VARIABLE}."
        )


@dataclass(frozen=True)
class RunningEngine:
    """The engine that runs on this home now.

    Attributes:
        url: Its root, such as `http://127.0.0.1:8765`; OpenAI's API is under `/v1`.
        pid: Its process.
        version: Version of this package that it runs.
    """

    url: str
    pid: int
    version: str

    @classmethod
    def read(cls, home: Path) -> "RunningEngine | None":
        """Return what `engine.json` says, or None; the process may be gone since."""
        try:
            return cls(**json.loads((home / "engine.json").read_text()))
        except (OSError, TypeError, ValueError):
            return None

    def write(self, home: Path) -> None:
        """Announce this engine in `engine.json`, all at once."""
        fresh = home / "engine.json.new"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(home / "engine.json")
