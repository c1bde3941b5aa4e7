"""The command line, run in this process: what it printed and how it exited."""

import json
import sys
from dataclasses import dataclass

from langchain_finetune.cli import main


@dataclass(frozen=True)
class Ran:
    """How a command ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it said beside that.
    """

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        """The one sentence of a command that failed."""
        return self._told(1)

    @property
    def no_verdict(self):
        """The one sentence of a `compare` or `migrate` that failed."""
        return self._told(2)

    def _told(self, code):
        assert self.code == code
        assert "Traceback" not in self.err
        [line] = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        return line


def runs_command(monkeypatch, capsys):
    """Return a function that runs the command line with its arguments."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["langchain-finetune", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return Ran(code, *capsys.readouterr())

    return run


def write_chats(path, count=12):
    """Write a training file of small chats, and return its path."""
    lines = (
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"Is {number} a number?"},
                    {"role": "assistant", "content": "Yes"},
                ]
            }
        )
        for number in range(count)
    )
    path.write_text("\n".join(lines))
    return path
