"""What of the engine the pages of jobs, models and the playground use."""

from dataclasses import dataclass
from pathlib import Path

from langchain_finetune.local.files import Files
from langchain_finetune.local.jobs.journal import Journal
from langchain_finetune.local.jobs.queue import JobQueue
from langchain_finetune.local.models import Models
from langchain_finetune.local.serving.backend import Chat


@dataclass(frozen=True)
class EngineParts:
    """Parts of one engine; all but `chats` belong to the event loop's thread.

    Attributes:
        queue: Takes jobs on, and cancels, pauses and resumes them.
        journal: Knows what became of the jobs.
        files: What jobs are made of, and what they leave.
        models: What can be fine-tuned, and what has been.
        chats: Answers chats.
        home: Folder on the disk that a training fills.
    """

    queue: JobQueue
    journal: Journal
    files: Files
    models: Models
    chats: Chat
    home: Path
