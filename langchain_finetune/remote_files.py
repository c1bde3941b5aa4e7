"""Files in object stores by their addresses, such as `s3://bucket/export/runs.jsonl`.

pyarrow reads and writes them (extra `files`). It takes keys, region and endpoint from the
environment, so that an address holds none: addresses appear in manifests and messages.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeGuard

from langchain_finetune.errors import FineTuningError, InvalidArgumentError, LoadError
from langchain_finetune.extras import missing_extra

_SCHEMES = ("s3://", "gs://")

_BUFFER = 4 << 20
"""Bytes of a request: a smaller one takes as long."""

_BLOCK, _BLOCKS = 1 << 20, 32
"""Bytes of a block of a file that is read at any place, and how many are kept."""

_ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}


def is_remote(path: str | PathLike[str]) -> TypeGuard[str]:
    """Return whether a path is an address in an object store.

    Example:
        >>> is_remote("s3://bucket/runs.jsonl"), is_remote("runs.jsonl")
        (True, False)
    """
    return isinstance(path, str) and path.startswith(_SCHEMES)


@dataclass(frozen=True)
class RemoteFile:
    """A file in an object store, with the methods of `Path` that readers use.

    Attributes:
        address: Its address, without keys.
    """

    address: str

    @classmethod
    def given(cls, address: str) -> Self:
        """Return the file of an address that somebody wrote.

        Raises:
            InvalidArgumentError: It has keys, settings or a pattern, or no bucket.
        """
        scheme, _, rest = address.partition("://")
        bucket, _, name = rest.partition("/")
        if not bucket or "@" in bucket or "?" in rest:
            # Not named, as it may hold a key.
            raise InvalidArgumentError(
                f"An address of {scheme} must be {scheme}://BUCKET/NAME, without keys and "
                f"settings: these come from the environment, such as {_ENVIRONMENT[scheme]}."
            )
        if "*" in name:
            raise InvalidArgumentError(
                f"{address} is a pattern, which only files of this machine may have: name a file, "
                "or a folder with all files below it."
            )
        return cls(address)

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rpartition("/")[2]

    @property
    def parent(self) -> "RemoteFile":
        """The folder that it is in."""
        return RemoteFile(self.address.rpartition("/")[0])

    def with_name(self, name: str) -> "RemoteFile":
        """Return another file of the same folder."""
        return RemoteFile(f"{self.parent}/{name}")

    def exists(self) -> bool:
        """Return whether there is a file at the address."""
        system, path = self._place()
        return bool(system.get_file_info(path).is_file)

    def open(self, _mode: str = "rb", *, buffering: int = _BUFFER) -> Any:  # noqa: ARG002 - that of `Path`
        """Open it, to be read from its beginning; the arguments are those of `Path.open`."""
        system, path = self._place()
        return system.open_input_stream(path, compression=None, buffer_size=_BUFFER)

    def random_access(self) -> Any:
        """Open it, to be read at any place, as Parquet is."""
        system, path = self._place()
        return _Blocks(system.open_input_file(path))

    def files_below(self) -> list["RemoteFile"]:
        """Return the file itself, or all files below the folder, in the order of their paths."""
        system, path = self._place()
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - of the extra `files`, as just found

        if not self.address.endswith("/") and system.get_file_info(path).is_file:
            return [self]
        found = system.get_file_info(FileSelector(path, allow_not_found=True, recursive=True))
        base = self.address.rstrip("/")
        names = (info.path.removeprefix(path).strip("/") for info in found if info.is_file)
        return [RemoteFile(f"{base}/{name}") for name in sorted(names, key=_parts)]

    def upload(self, source: Path) -> None:
        """Write the content of a file of this machine to the address."""
        system, path = self._place()
        with source.open("rb") as file, system.open_output_stream(path, compression=None) as out:
            while block := file.read(_BUFFER):
                out.write(block)

    def delete(self) -> None:
        """Remove the file, if there is one."""
        system, path = self._place()
        if system.get_file_info(path).is_file:
            system.delete_file(path)

    def _place(self) -> tuple[Any, str]:
        """Return the file system, and the path in it."""
        scheme, _, path = self.address.partition("://")
        return _file_system(scheme, path.partition("/")[0]), path.rstrip("/")


class _Blocks(io.RawIOBase):
    """Reads a file in blocks, of which the last ones are kept: each reading is a request.

    A Parquet file is read in many small pieces, some for each column. pyarrow can read them
    together, but then keeps all until the file is closed.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size = int(file.size())
        self._at = 0
        self._block = lru_cache(maxsize=_BLOCKS)(self._fetched)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        # All at once: pyarrow takes less for the end of the file.
        done, most = 0, min(len(buffer), self._size - self._at)
        while done < most:
            number, first = divmod(self._at, _BLOCK)
            piece = self._block(number)[first : first + most - done]
            buffer[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done

    def close(self) -> None:
        self._file.close()
        super().close()

    def _fetched(self, number: int) -> bytes:
        place = number * _BLOCK
        block = bytes(self._file.read_at(min(_BLOCK, self._size - place), place))
        if not block:
            raise OSError("the file has become shorter")
        return block


AnyFile = Path | RemoteFile
"""A file of this machine, or of an object store."""


def file_at(path: str) -> AnyFile:
    """Return the file of a path or an address."""
    return RemoteFile(path) if is_remote(path) else Path(path)


@contextmanager
def remote_errors(
    place: RemoteFile, what: str = "can't be read", kind: type[FineTuningError] = LoadError
) -> Iterator[None]:
    """Raise an object store's errors as one of this package.

    Args:
        place: The address.
        what: What failed.
        kind: The class of the error.

    Raises:
        FineTuningError: The store can't be reached, refuses the keys, ...
    """
    try:
        yield
    except OSError as error:
        scheme = str(place).partition(":")[0]
        raise kind(
            f"{place} {what}: {error}. Keys and endpoint come from the environment, such as "
            f"{_ENVIRONMENT[scheme]}."
        ) from error


def _parts(name: str) -> list[str]:
    """Return what paths are sorted by, as `Path` is."""
    return name.split("/")


@lru_cache(maxsize=64)
def _file_system(scheme: str, bucket: str) -> Any:
    try:
        from pyarrow.fs import FileSystem  # noqa: PLC0415 - of the extra `files`
    except ImportError as error:
        raise LoadError(missing_extra(f"Reading {scheme}://{bucket}", "files")) from error
    # Of the bucket alone: other characters of a name would have to be quoted.
    system, _ = FileSystem.from_uri(f"{scheme}://{bucket}")
    return system
