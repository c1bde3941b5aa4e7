"""The parts of the engine that pages of jobs, models and the playground use."""

from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.local.files import Files
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.models import Models
from langchain_finetune.local.serving.backend import Chat


@dataclass(frozen=True)
class EngineParts:
    """Parts of an engine. All but `chats` must be used in the event loop's thread."""

    queue: JobQueue
    journal: Journal
    files: Files
    models: Models
    chats: Chat
    home: Path
