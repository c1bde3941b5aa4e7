"""A disk that loses power: only what was synced is there afterwards.

A file keeps the content that it had when it was last synced, a folder the names. SQLite syncs its
own files, which does not show here, so they are kept as they are.
"""

import os
import shutil
import stat


class Disk:
    """Takes the place of `os.fsync`."""

    def __init__(self):
        self._contents = {}
        self._names = {}

    def fsync(self, descriptor):
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(descriptor) as entries:
                self._names[found.st_ino] = {entry.name: entry.inode() for entry in entries}
        else:
            self._contents[found.st_ino] = os.pread(descriptor, found.st_size, 0)

    def after_the_cut(self, folder, target):
        """Make what is left of a folder, which was there before."""
        inodes = {path.stat().st_ino: path for path in [folder, *folder.rglob("*")]}
        self._restore(folder, target, inodes)
        for path in folder.glob("*.sqlite*"):
            shutil.copy(path, target)

    def _restore(self, folder, target, inodes):
        target.mkdir()
        for name, inode in self._names.get(folder.stat().st_ino, {}).items():
            # A name that was moved or deleted since may yet be on the disk; so is its content.
            path = inodes.get(inode)
            if path is not None and path.is_dir():
                self._restore(path, target / name, inodes)
            else:
                (target / name).write_bytes(self._contents.get(inode, b""))
