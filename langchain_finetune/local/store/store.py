"""The run store: one SQLite file with projects, runs, feedback, queues, datasets and examples."""

from contextlib import AbstractContextManager
from pathlib import Path

from langchain_finetune.local.store.attachments import Attachments
from langchain_finetune.local.store.comparisons import Comparisons
from langchain_finetune.local.store.dataset_versions import Versions
from langchain_finetune.local.store.datasets import Datasets
from langchain_finetune.local.store.examples import ExampleStore
from langchain_finetune.local.store.exports import Exports
from langchain_finetune.local.store.feedback import Feedback, FeedbackConfigs, FeedbackTokens
from langchain_finetune.local.store.model_figures import FiguresByModel
from langchain_finetune.local.store.projects import ProjectStore
from langchain_finetune.local.store.queues import Queues
from langchain_finetune.local.store.retention import Limits, Retention
from langchain_finetune.local.store.runs import Runs
from langchain_finetune.local.store.schema import open_store_file
from langchain_finetune.local.store.spans import Spans
from langchain_finetune.local.store.threads import Threads

EXPORTS_FOLDER = "exports"
"""Lies beside the store's file."""

NO_LIMITS = Limits()


class RunStore:
    """Everything that apps trace into the engine; its file is created in a folder that must exist.

    Threads may share it. What a client gets wrong raises `ApiError` with the status of the answer.
    """

    def __init__(self, path: Path, limits: Limits = NO_LIMITS) -> None:
        self._database = open_store_file(path)
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
        self.exports = Exports(self._database, self.projects, self.runs, folder)

    def together(self) -> AbstractContextManager[None]:
        """Make the changes inside happen together or not at all."""
        return self._database.transaction()

    def close(self) -> None:
        """Close the file; nothing works after."""
        self._database.end_searches()
        self.retention.stop()
        self.exports.stop()
        self._database.close()
