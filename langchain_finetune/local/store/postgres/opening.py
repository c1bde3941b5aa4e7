"""Whether a server can keep a run store; how its tables are made and brought to this version."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from psycopg import errors

from langchain_finetune.errors import EngineError
from langchain_finetune.local.store.postgres.connections import Server, ServerConnection, reason
from langchain_finetune.local.store.postgres.schema import MIGRATIONS, NAME


@contextmanager
def opening(server: Server) -> Iterator[None]:
    """Say in a sentence why a server can't be used.

    Raises:
        EngineError: Something inside failed at the server.
    """
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise EngineError(
            f"The user of the run store {server} may not make or read its tables: give it the right"
            f" CREATE on the database, or make it the owner of the schema {NAME}."
        ) from error
    except psycopg.Error as error:
        raise EngineError(f"The run store {server} can't be opened ({reason(error)}).") from error


def migrate(server: Server, writer: ServerConnection) -> None:
    """Bring the tables to this version, inside the transaction that has begun, which stays open.

    Raises:
        EngineError: The server can't keep a store, or keeps one of a newer version.
    """
    found = _usable_version(server, writer)
    if found is None:
        [known] = writer.execute("SELECT to_regnamespace(%s) AS schema", (NAME,)).fetchall()
        if known["schema"] is None:
            writer.execute(f"CREATE SCHEMA {NAME}")
        writer.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        writer.execute("INSERT INTO schema_version VALUES (0)")
    done = found or 0
    if done < len(MIGRATIONS):
        for migration in MIGRATIONS[done:]:
            writer.execute(migration())
        writer.execute("UPDATE schema_version SET version = %s", (len(MIGRATIONS),))


def server_state(address: str) -> str:
    """Return what a server says of itself and of its store, without changing anything.

    Raises:
        EngineError: As `PostgresDatabase`.
    """
    server = Server(address)
    with opening(server), closing(server.connect(reads_only=True)) as connection:
        version = _usable_version(server, connection)
        [found] = connection.execute("SHOW server_version").fetchall()
        tables = "its tables are made when an engine starts"
        if version is not None:
            tables = f"tables of version {version} of {len(MIGRATIONS)}"
        return f"PostgreSQL {found['server_version']} {server}; {tables}"


def _usable_version(server: Server, connection: ServerConnection) -> int | None:
    """Return how many migrations are done, None before the first; refuse what can't be used."""
    [found] = connection.execute(
        "SELECT current_setting('server_encoding') AS encoding,"
        " EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu') AS folds,"
        " to_regclass('schema_version') IS NOT NULL AS known"
    ).fetchall()
    if found["encoding"] != "UTF8":
        raise EngineError(
            f"The run store {server} has the encoding {found['encoding']}: take a database with the"
            " encoding UTF8."
        )
    if not found["folds"]:
        raise EngineError(
            f"The server of the run store {server} was built without ICU, by which texts are"
            " compared in any case: take one with it, as packages have it."
        )
    if not found["known"]:
        return None
    [row] = connection.execute("SELECT version FROM schema_version").fetchall()
    if row["version"] > len(MIGRATIONS):
        raise EngineError(
            f"The run store {server} has version {row['version']}, and this version of"
            f" langchain-finetune reads up to version {len(MIGRATIONS)}: upgrade"
            " langchain-finetune, or take another database."
        )
    return int(row["version"])
