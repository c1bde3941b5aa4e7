"""Collects the rows of the table, and prints them at the end."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ROWS = []


@pytest.fixture
def table():
    return ROWS


def pytest_terminal_summary(terminalreporter):
    if ROWS:
        terminalreporter.section("fidelity by instrumentor")
        for row in ROWS:
            terminalreporter.line(row)
