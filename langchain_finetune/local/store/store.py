"""The run store: projects, runs, feedback, queues, datasets and examples.

They are in one SQLite file, or in a PostgreSQL server that several engines share.
"""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from langchain_finetune.errors import EngineError
from langchain_finetune.extras import require_modules
from langchain_finetune.local.sqlite import Database
from langchain_finetune.local.store.attachments import Attachments
from langchain_finetune.local.store.comparisons import Comparisons
from langchain_finetune.local.store.database import StoreDatabase
from langchain_finetune.local.store.dataset_versions import Versions
from langchain_finetune.local.store.datasets import Datasets
from langchain_finetune.local.store.examples import ExampleStore
from langchain_finetune.local.store.exports import Exports
from langchain_finetune.local.store.feedback import Feedback, FeedbackConfigs, FeedbackTokens
from langchain_finetune.local.store.model_figures import FiguresByModel
from langchain_finetune.local.store.projects import ProjectStore
from langchain_finetune.local.store.queues import Queues
from langchain_finetune.local.store.retention import DAYS_VARIABLE, SIZE_VARIABLE, Limits, Retention
from langchain_finetune.local.store.runs import Runs
from langchain_finetune.local.store.schema import open_export_records, open_store_file
from langchain_finetune.local.store.signer import Signer, note_changes
from langchain_finetune.local.store.spans import Spans
from langchain_finetune.local.store.threads import Threads

EXPORTS_FOLDER = "exports"
"""Lies beside the store's file."""

EXPORT_RECORDS = "exports.sqlite"
"""Keeps what is exported by this engine, where the runs are in a server."""

NO_LIMITS = Limits()


class RunStore:
    """Everything that apps trace into the engine; its file is created in a folder that must exist.

    With the address of a `server`, the file is not made: everything is in that server, but for
    exports, which lie where the engine wrote them. Threads may share the store. What a client gets
    wrong raises `ApiError` with the status of the answer.

    Raises:
        EngineError: The file or the server can't be used, or a limit can't be held there.
        MissingExtraError: A server needs the extra `postgres`.
    """

    def __init__(
        self, path: Path, limits: Limits = NO_LIMITS, *, server: str | None = None
    ) -> None:
        file: Database | None = None
        self._records: Database | None = None
        self._database: StoreDatabase
        if server is None:
            self._database = records = file = open_store_file(path)
        else:
            self._records = records = open_export_records(path.parent / EXPORT_RECORDS)
            try:
                self._database = _open_server(server, limits)
            except BaseException:
                records.close()
                raise
        self.retention = Retention(self._database, limits)
        self.attachments = Attachments(self._database)
        self.projects = ProjectStore(self._database)
        self.feedback = Feedback(self._database)
        self.feedback_configs = FeedbackConfigs(self._database)
        self.feedback_tokens = FeedbackTokens(self._database, self.feedback)
        self.runs = Runs(
            self._database,
            self.projects,
            self.feedback,
            self.attachments,
            self.retention.make_room,
            note_changes=(lambda _: None) if file is None else partial(note_changes, file),
        )
        self.spans = Spans(self._database, self.runs)
        self.figures = FiguresByModel(self._database)
        self.threads = Threads(self._database)
        self.queues = Queues(self._database)
        self.datasets = Datasets(self._database)
        self.comparisons = Comparisons(self._database, self.projects)
        self.versions = Versions(self._database)
        self.examples = ExampleStore(self._database, self.datasets, self.attachments, self.versions)
        folder = path.parent / EXPORTS_FOLDER
        self.exports = Exports(records, self.projects, self.runs, folder)
        self.signer = None if file is None else Signer(file)

    def together(self) -> AbstractContextManager[None]:
        """Make the changes inside happen together or not at all."""
        return self._database.transaction()

    def close(self) -> None:
        """Close the file, or the connections; nothing works after."""
        self._database.end_searches()
        self.retention.stop()
        self.exports.stop()
        if self.signer is not None:
            self.signer.stop()
        self._database.close()
        if self._records is not None:
            self._records.close()


def _open_server(address: str, limits: Limits) -> StoreDatabase:
    require_modules("A run store in PostgreSQL", "postgres", "psycopg")
    from langchain_finetune.local.store.postgres.database import (  # noqa: PLC0415 requires the extra
        PostgresDatabase,
    )

    if limits.size_bytes is not None:
        raise EngineError(
            f"{SIZE_VARIABLE} bounds a file, and the run store is in PostgreSQL, which keeps the"
            f" room of deleted rows: unset it, and bound runs by {DAYS_VARIABLE}."
        )
    return PostgresDatabase(address)
