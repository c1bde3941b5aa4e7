"""A comparison's progress: a bar for each model in a terminal, lines elsewhere."""

import io
import random
import re
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from langchain_finetune.cli.comparison_progress import ComparisonProgress
from langchain_finetune.evaluation.compare import COMPARISON_EVENT

MODEL = "ft:nano:two:[local]\x1b[2J"


def shown(events, **settings):
    file = io.StringIO()
    with ComparisonProgress(Console(file=file, width=100, **settings)) as progress:
        events(progress.on_custom_event)
    return file.getvalue()


def event(done, side="old", total=40):
    return {"comparison_id": "1", "side": side, "model": MODEL, "done": done, "total": total}


def test_without_a_terminal_each_tenth_is_a_line():
    def events(tell):
        for side in ("old", "new"):
            for done in range(1, 41):
                tell(COMPARISON_EVENT, event(done, side))
        tell("other", {})

    lines = shown(events).splitlines()
    assert len(lines) == 20
    assert lines[0] == "old: ft:nano:two:[local]\N{REPLACEMENT CHARACTER}[2J, 4 of 40 answers"
    assert lines[-1].startswith("new: ")
    assert lines[-1].endswith("40 of 40 answers")


def test_a_terminal_has_one_bar_for_each_model_whatever_the_order():
    def events(tell):
        counts = [(side, done) for side in ("old", "new") for done in range(1, 41)]
        random.Random(0).shuffle(counts)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda one: tell(COMPARISON_EVENT, event(one[1], one[0])), counts))

    drawn = shown(events, force_terminal=True, color_system=None).split("\r")[-1]
    last = re.sub(r"\x1b\[\d*[A-Z]", "", drawn)
    bars = [line for line in last.splitlines() if "40/40" in line]
    assert sorted(line.split()[0] for line in bars) == ["new:", "old:"]
    assert ":two:[local]" in last


def test_nothing_is_shown_before_the_first_answer():
    assert shown(lambda tell: None, force_terminal=True) == ""
