"""The code in the README and in `docs/`: which blocks there are, and how each is run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>test|not run): (?P<said>.+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A block of code: `test` names how it is run, `reason` says why it is not."""

    page: str
    language: str
    code: str
    indented: bool
    test: str | None
    reason: str | None


def blocks():
    """Return all blocks of code of all pages."""
    return [
        Block(
            str(page.relative_to(ROOT)),
            found["language"],
            found["code"],
            bool(found["indent"]),
            found["said"] if found["mark"] == "test" else None,
            found["said"] if found["mark"] == "not run" else None,
        )
        for page in PAGES
        for found in _BLOCK.finditer(page.read_text())
    ]


BLOCKS = {block.test: block for block in blocks() if block.test}


def run(name, names=None, **changed):
    """Run a block of Python in a namespace, and return the namespace.

    Args:
        name: The block's.
        names: What is there already.
        changed: Texts in the block that are replaced, by what they are replaced by.
    """
    block = BLOCKS[name]
    assert block.language == "python", name
    code = block.code
    for old, new in changed.items():
        assert old in code, old
        code = code.replace(old, new)
    names = {} if names is None else names
    exec(compile(code, f"{block.page}: {name}", "exec"), names)
    return names


def run_sh(name, **environment):
    """Run a block of shell where the test is, and return what it prints."""
    block = BLOCKS[name]
    assert block.language == "sh", name
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["sh", "-eu", "-c", block.code],
        env={**os.environ, "PATH": path, "BROWSER": "true", **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
