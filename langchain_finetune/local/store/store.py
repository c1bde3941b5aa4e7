"""The run store: one SQLite file with projects, runs, feedback, queues, datasets and examples."""

from pathlib import Path

from langchain_finetune.local.store.comparisons import Comparisons
from langchain_finetune.local.store.database import Database
from langchain_finetune.local.store.datasets import Datasets
from langchain_finetune.local.store.examples import Examples
from langchain_finetune.local.store.feedback import Feedback
from langchain_finetune.local.store.projects import Projects
from langchain_finetune.local.store.queues import Queues
from langchain_finetune.local.store.runs import Runs
from langchain_finetune.local.store.threads import Threads


class RunStore:
    """Everything that apps trace into the engine. Threads may share it.

    Args:
        path: Its SQLite file; made where there is none, in a folder that must exist.

    Attributes:
        projects: What LangSmith's API calls sessions.
        feedback: What users said of runs.
        runs: The runs.
        threads: Conversations that runs belong to.
        queues: Runs that somebody is to look at.
        datasets: The datasets.
        examples: Their examples, in all versions.
        comparisons: Which experiments were compared with each other.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self.projects = Projects(self._database)
        self.feedback = Feedback(self._database)
        self.runs = Runs(self._database, self.projects, self.feedback)
        self.threads = Threads(self._database)
        self.queues = Queues(self._database)
        self.datasets = Datasets(self._database)
        self.examples = Examples(self._database, self.datasets)
        self.comparisons = Comparisons(self._database, self.projects)

    def close(self) -> None:
        """Close the file; nothing works after."""
        self._database.close()
