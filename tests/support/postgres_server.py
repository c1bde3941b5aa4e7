"""A PostgreSQL server of Debian's package, in a folder of its own, for tests of the run store."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

in_use = None
"""The server that keeps the runs of all tests, with `--postgres`."""

PASSWORD = "s3cret/with:marks@%"
USER = "tester"


def programs():
    """The folder with the server's programs; None if it is not installed."""
    found = shutil.which("postgres")
    if found:
        return Path(found).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((each.parent for each in folders), default=None, key=lambda each: each.parent.name)


class PostgresServer:
    """A running server; every path of a store has a database of its own."""

    def __init__(self, folder, bin_folder):
        self._folder = folder
        self._bin = bin_folder
        # The server refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        self._databases = {}
        self._count = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "password").write_text(PASSWORD)
        if self._user:
            for each in (folder, folder / "password"):
                os.chown(each, self._user.pw_uid, self._user.pw_gid)
        arguments = ["--no-sync", "-E", "UTF8", "--locale", "C.UTF-8", "-U", USER]
        self._run("initdb", "-D", "data", *arguments, "-A", "scram-sha-256", "--pwfile", "password")
        self.start()

    def _run(self, program, *arguments, wait=True):
        run = subprocess.run if wait else subprocess.Popen
        options = {"check": True} if wait else {}
        with (self._folder / f"{program}.log").open("ab") as log:
            return run(
                [self._bin / program, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "LC_ALL": "C.UTF-8"},
                user=self._user and self._user.pw_uid,
                group=self._user and self._user.pw_gid,
                extra_groups=[] if self._user else None,
                **options,
            )

    def start(self):
        settings = [
            *("fsync=off", "full_page_writes=off", "synchronous_commit=off"),
            *("shared_buffers=32MB", "max_connections=60", "listen_addresses=127.0.0.1"),
            # What a server of a user's may do: a sort order that is not that of code points.
            "log_min_messages=fatal",
        ]
        flags = [part for each in settings for part in ("-c", each)]
        self._process = self._run(
            *("postgres", "-D", "data", "-p", str(self.port), "-k", str(self._folder)),
            *flags,
            wait=False,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.admin().close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.02)
            else:
                return

    def stop(self):
        """End it as a restart does: connections are cut."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def admin(self, database="postgres"):
        return psycopg.connect(self.address(database), autocommit=True)

    def address(self, database, *, user=USER, password=PASSWORD):
        from urllib.parse import quote

        secret = quote(password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def create(self, options=""):
        """Make an empty database; return its name."""
        self._count += 1
        name = f"store_{self._count}"
        with self.admin() as admin:
            admin.execute(sql.SQL(f"CREATE DATABASE {{}} {options}").format(sql.Identifier(name)))
        return name

    def address_for(self, path):
        """The address of the database in which a store lies whose file would be at this path."""
        with self.admin() as admin:
            for known, name in list(self._databases.items()):
                if not known.parent.exists():
                    admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                    del self._databases[known]
        path = Path(path).absolute()
        if path not in self._databases:
            self._databases[path] = self.create()
        return self.address(self._databases[path])


def store_variables(home):
    """The environment of an engine on this home."""
    return {} if in_use is None else {"LCFT_STORE": in_use.address_for(home / "runs.sqlite")}


@contextmanager
def postgres_server():
    """Run a server until the block ends; yields None if none is installed."""
    found = programs()
    if found is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="lcft-postgres-"))
    server = None
    try:
        server = PostgresServer(folder, found)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder)
