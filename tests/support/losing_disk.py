"""A disk that loses power, as a real file system sees it.

A FUSE file system of one file, which a loop device makes a disk of: ext4 on it is Linux's own. What
was written before a flush that the disk has confirmed survives a cut; of the 4 KiB blocks written
since, a seeded part does, in any order, as from the cache of a disk.

    python losing_disk.py FOLDER SIZE

mounts it as `FOLDER/image`. Each line on stdin is answered by one on stdout: `cut SEED` loses
power, and tells how many blocks are lost; nobody is answered then until `release`, after which
writes go nowhere. `on` puts the image back to what has survived, once nobody has it open.
Source of fact: Linux's include/uapi/linux/fuse.h.
"""

import ctypes
import errno
import os
import random
import select
import stat
import struct
import sys

FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE = 2, 3, 4, 14, 15, 16, 17, 18
LOOKUP, FSYNC, FLUSH, INIT, OPENDIR, RELEASEDIR = 1, 20, 25, 26, 27, 29
INTERRUPT, DESTROY, BATCH_FORGET = 36, 38, 42
ROOT, IMAGE = 1, 2
MAX_WRITE = 128 * 1024
BLOCK = 4096
ZEROS = bytes(BLOCK)
DIRECT_IO = 1


class LosingDisk:
    """The image, and what of it a cut leaves: blocks by number, those of zeros left out."""

    def __init__(self, size):
        self.size = size
        self.content = {}
        self.durable = {}
        self.unflushed = set()
        self.survived = None

    def read(self, start, size):
        first, last = start // BLOCK, (start + size - 1) // BLOCK
        found = b"".join(self.content.get(block, ZEROS) for block in range(first, last + 1))
        return found[start - first * BLOCK :][:size]

    def write(self, start, data):
        first, last = start // BLOCK, (start + len(data) - 1) // BLOCK
        whole = bytearray(self.read(first * BLOCK, (last + 1 - first) * BLOCK))
        begin = start - first * BLOCK
        whole[begin : begin + len(data)] = data
        for block in range(first, last + 1):
            at = (block - first) * BLOCK
            self.content[block] = bytes(whole[at : at + BLOCK])
            self.unflushed.add(block)

    def flush(self):
        for block in self.unflushed:
            self.durable[block] = self.content[block]
        self.unflushed.clear()

    def cut(self, seed):
        chance = random.Random(seed)
        share = chance.choice([0, 0.1, 0.5, 0.9, 1])
        kept = [block for block in sorted(self.unflushed) if chance.random() < share]
        self.survived = self.durable | {block: self.content[block] for block in kept}
        return len(self.unflushed) - len(kept)

    def back(self):
        self.content, self.durable = dict(self.survived), dict(self.survived)
        self.unflushed.clear()


def attributes(node, size):
    mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o600
    size = 0 if node == ROOT else size
    return struct.pack(
        "<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
    )


def entry(disk, body):
    if body.rstrip(b"\0") != b"image":
        return errno.ENOENT
    return struct.pack("<4Q2I", IMAGE, 1, 60, 60, 0, 0) + attributes(IMAGE, disk.size)


def read(disk, body):
    _, start, size = struct.unpack_from("<2QI", body)
    return disk.read(start, size)


def write(disk, body):
    _, start, size = struct.unpack_from("<2QI", body)
    disk.write(start, body[40 : 40 + size])
    return struct.pack("<2I", size, 0)


def flush(disk, _):
    disk.flush()
    return b""


def begin(_, body):
    _, _, readahead, _ = struct.unpack_from("<4I", body)
    # Version 7.31; writes larger than a page, of up to so many pages.
    flags = 1 << 5 | 1 << 22
    head = struct.pack("<4I2H2I2H", 7, 31, readahead, flags, 12, 9, MAX_WRITE, 1, 32, 0)
    return head.ljust(64, b"\0")


def facts(disk, _):
    return struct.pack("<5Q4I24x", disk.size // 4096, 0, 0, 2, 0, 4096, 255, 4096, 0)


ANSWERS = {
    **dict.fromkeys((FLUSH, RELEASE, RELEASEDIR, DESTROY), lambda *_: b""),
    INIT: begin,
    LOOKUP: entry,
    OPEN: lambda *_: struct.pack("<Q2I", 0, DIRECT_IO, 0),
    OPENDIR: lambda *_: struct.pack("<Q2I", 0, 0, 0),
    READ: read,
    WRITE: write,
    FSYNC: flush,
    STATFS: facts,
}


class Server:
    """Answers the kernel, and the commands on stdin."""

    def __init__(self, disk, folder):
        self._disk = disk
        self._device = os.open("/dev/fuse", os.O_RDWR)
        self._cut, self._waiting = False, []
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,max_read={MAX_WRITE}"
        # No set-user-id programs, and no devices.
        if libc.mount(b"disk", os.fsencode(folder), b"fuse", 2 | 4, options.encode()):
            raise OSError(ctypes.get_errno(), "mount")
        self._tell("mounted")

    def run(self):
        """Serve until the folder is unmounted, or stdin ends."""
        while True:
            ready, _, _ = select.select([self._device, sys.stdin], [], [])
            if not (self._take() if self._device in ready else self._obey()):
                return

    def _take(self):
        try:
            request = os.read(self._device, MAX_WRITE + 65536)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
        _, opcode, unique, node = struct.unpack_from("<2I2Q", request)
        asked = (opcode, unique, node, request[40:])
        if self._cut:
            self._waiting.append(asked)
        else:
            self._reply(*asked)
        return True

    def _reply(self, opcode, unique, node, body):
        if opcode in {FORGET, BATCH_FORGET, INTERRUPT}:
            return
        if opcode in {GETATTR, SETATTR}:
            told = struct.pack("<Q2I", 60, 0, 0) + attributes(node, self._disk.size)
        else:
            told = ANSWERS.get(opcode, lambda *_: errno.ENOSYS)(self._disk, body)
        error, data = (-told, b"") if isinstance(told, int) else (0, told)
        os.write(self._device, struct.pack("<IiQ", 16 + len(data), error, unique) + data)

    def _obey(self):
        command = sys.stdin.readline().split()
        match command:
            case ["cut", seed]:
                told, self._cut = self._disk.cut(seed), True
                self._tell(told)
            case ["release"]:
                self._cut = False
                for asked in self._waiting:
                    self._reply(*asked)
                self._waiting.clear()
                self._tell("done")
            case ["on"]:
                self._disk.back()
                self._tell("done")
        return bool(command)

    def _tell(self, what):
        sys.stdout.write(f"{what}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    Server(LosingDisk(int(sys.argv[2])), sys.argv[1]).run()
