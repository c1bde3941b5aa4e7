"""The progress of rescue and recording: a bar in a terminal, some lines elsewhere."""

import io

from rich.console import Console

from langchain_finetune.cli.migration_bar import MigrationBar
from langchain_finetune.migration.progress import MigrationProgress


def shown(*news, terminal):
    """What is written of these news."""
    written = io.StringIO()
    with MigrationBar(quiet=False) as bar:
        bar.console = Console(file=written, force_terminal=terminal, width=80)
        for each in news:
            bar.show(each)
    return written.getvalue()


def asked(done):
    return MigrationProgress("record", "asking [model]", done, 1000)


def test_a_terminal_has_a_bar_that_goes_when_all_is_done():
    text = shown(MigrationProgress("prompts", "reading"), asked(1), asked(1000), terminal=True)
    assert "asking [model]" in text
    assert "1000/1000" in text
    assert text.endswith("\x1b[2K")
    assert "\x1b[?25h" in text


def test_what_ends_early_takes_its_bar_away():
    assert shown(asked(1), terminal=True).count("\x1b[?25h") == 1


def test_elsewhere_there_is_a_line_for_each_step_and_twentieth():
    text = shown(*map(asked, range(1001)), terminal=False)
    lines = text.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "[1000/1000] asking [model]"
