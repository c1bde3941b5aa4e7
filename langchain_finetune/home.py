"""The home folder of the embedded engine, through which clients find it.

The engine writes two small files to its home; clients only read them:

- `api_key`: the key of all requests, readable only by its owner;
- `engine.json`: address and process of the running engine, believed only while a process holds
  `engine.lock`.
"""

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from pydantic import SecretStr

from langchain_finetune.durable import flush
from langchain_finetune.errors import FineTuningError
from langchain_finetune.private_files import replacing

HOME_VARIABLE = "LCFT_HOME"
"""Folder of the engine's state and of the spool; by default the platform's user data folder."""

KEY_VARIABLE = "LCFT_API_KEY"
"""The engine's key, for the engine and its callers, instead of the file `api_key` in the home."""


_OLD_PREFIX = "LANGCHAIN_FINETUNE_"
"""Of the variables before they were renamed: LangSmith copies `LANGCHAIN_*` into traces."""


def home_path() -> Path:
    """Return the engine's home, which may not exist yet.

    It is `$LCFT_HOME`, or by default the platform's folder for user data.

    Raises:
        FineTuningError: A variable has the name that it had before.
    """
    for name in os.environ:
        if name.startswith(_OLD_PREFIX):
            raise FineTuningError(
                f"The variable {name} is called LCFT_{name.removeprefix(_OLD_PREFIX)} now, because "
                "LangSmith's client copies variables that begin with LANGCHAIN_ into each trace. "
                "Rename it."
            )
    if given := os.environ.get(HOME_VARIABLE):
        return Path(given).expanduser().resolve()
    return platformdirs.user_data_path("langchain-finetune")


def ensure_home(home: Path) -> Path:
    """Return the home; create it, accessible only to its owner, if it does not exist.

    Raises:
        FineTuningError: The folder cannot be created or written to.
    """
    try:
        if not home.is_dir():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            flush(home.parent)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError("not writable")
    except OSError as error:
        raise FineTuningError(
            f"The home folder {home} cannot be used ({error.strerror or error}); "
            f"set {HOME_VARIABLE} to another folder."
        ) from error
    return home


def read_key(home: Path) -> SecretStr | None:
    """Return the engine's key: `$LCFT_API_KEY`, the one in its home, or None.

    Raises:
        FineTuningError: It can't be read, or is none.
    """
    path = home / "api_key"
    place = KEY_VARIABLE if (given := os.environ.get(KEY_VARIABLE)) else str(path)
    try:
        key = (given or path.read_text()).strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FineTuningError(
            f"The engine's key in {path} can't be read ({type(error).__name__}): make the file "
            "readable, or stop the engine and delete it to create a new key."
        ) from error
    if not (key and key.isascii() and key.isprintable()):
        raise FineTuningError(
            f"The engine's key in {place} is empty or has characters that no key has: set another,"
            " or stop the engine and remove it to create a new one."
        )
    return SecretStr(key)


def check_key(home: Path) -> SecretStr | None:
    """Return the engine's key like `read_key`, if nobody else can read it.

    Raises:
        FineTuningError: It can't be read, or other users can read it in the home.
    """
    key = read_key(home)
    path = home / "api_key"
    # Windows has no file modes, and a key from the environment is not in a file.
    in_file = key is not None and os.name == "posix" and not os.environ.get(KEY_VARIABLE)
    if in_file and path.stat().st_mode & 0o077:
        raise FineTuningError(
            f"Other users of this machine can read the engine's key: run 'chmod 600 {path}', or"
            " delete the file to create a new key. If the file system does not support modes,"
            f" set {KEY_VARIABLE}."
        )
    return key


def ensure_key(home: Path) -> SecretStr:
    """Return the engine's key; create one if there is none.

    Raises:
        FineTuningError: It can't be read, or other users can read it in the home.
    """
    if key := check_key(home):
        return key
    ensure_home(home)
    key = SecretStr("lcft-" + secrets.token_urlsafe(24))
    fresh = home / f"api_key.{secrets.token_hex(4)}"
    fresh.touch(mode=0o600)
    fresh.write_text(key.get_secret_value())
    flush(fresh)
    try:
        # A link fails if another process has just created a key, so both use the same one.
        os.link(fresh, home / "api_key")
        flush(home)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return read_key(home) or key


def host_key_file(home: Path, base_url: str) -> Path:
    """Return the file of the key for a host of training loops; each address has its own."""
    name = hashlib.sha256(base_url.rstrip("/").encode()).hexdigest()[:24]
    return home / "host_keys" / name


def save_host_key(home: Path, base_url: str, key: SecretStr) -> None:
    """Keep the key for a host, readable only by its owner, for jobs that outlive their client.

    Raises:
        OSError: It can't be written.
    """
    path = host_key_file(home, base_url)
    if not path.exists() or path.read_text() != key.get_secret_value():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(key.get_secret_value().encode())


def holds_lock(home: Path) -> bool:
    """Return whether a process has the lock of an engine's home, which its owner alone can take.

    The lock ends with its process, however that ends.
    """
    path = home / "engine.lock"
    try:
        # Without one, this would make the file.
        if path.exists():
            with FileLock(path, timeout=0, mode=0o600):
                return False
    except Timeout:
        return True
    except OSError:
        # It is another user's.
        return False
    return False


@dataclass(frozen=True)
class RunningEngine:
    """The engine that is running on a home, with its process id and version of this package."""

    url: str
    """Its root URL, such as `http://127.0.0.1:8765`; OpenAI's API is under `/v1`."""
    pid: int
    version: str

    @classmethod
    def read(cls, home: Path) -> "RunningEngine | None":
        """Return the content of `engine.json`, or None where no engine runs on the home.

        After a crash the file is still there, and anybody may listen at its address.
        """
        if not holds_lock(home):
            return None
        try:
            return cls(**json.loads((home / "engine.json").read_text()))
        except (OSError, TypeError, ValueError):
            return None

    def write(self, home: Path) -> None:
        """Write `engine.json`, atomically."""
        fresh = home / "engine.json.new"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(home / "engine.json")
