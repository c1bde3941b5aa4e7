"""`Report`: what all reports can do."""

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path

from rich.console import Console, Group

from langchain_finetune.display.html import document
from langchain_finetune.private_files import replacing


class Report(ABC):
    """A report as a page, in a notebook and in a terminal; a base of its data's class."""

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as an HTML page without scripts or external resources.

        Args:
            path: File to write the page to.
        """
        html = document(self._title(), self._repr_html_())
        if path is not None:
            # It may quote texts, so only its owner may read it.
            with replacing(Path(path).expanduser()) as file:
                file.write(html.encode())
        return html

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), color_system=None)
        with console.capture() as captured:
            console.print(self)
        return captured.get()

    @abstractmethod
    def _title(self) -> str:
        """Return the title of the page."""

    @abstractmethod
    def _repr_html_(self) -> str:
        """Return the page's content with its style, which affects nothing around it."""

    @abstractmethod
    def __rich__(self) -> Group:
        """Return the report as tables."""
