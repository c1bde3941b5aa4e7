"""Real instrumentors trace real SDKs into the store; what is loaded is what the model received.

`scripts/test --instrumentors` installs what they need into `.instrumentors` (minutes), runs each
against a stub at the provider's wire, and prints the table of docs/reference/instrumentors.md.
"""

import json
from pathlib import Path

import environments
import fidelity
import pytest
from apps_and_losses import APPS, CALLS, FAILURES, LOSSES, PACKAGES
from provider_stub import ProviderStub

from support.servers import served
from support.store import store_client

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "instrumentors.md"
COLUMNS = ("messages", "system", "tools", "answer", "settings", "response_format")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", APPS)
def test_what_is_loaded_is_what_was_sent(name, tmp_path, table):
    app, provider, *pins = APPS[name]
    stub = ProviderStub()
    with served(stub.app) as url, store_client(tmp_path / "runs.sqlite") as client:
        said = environments.run(app, provider, url, client.api_url, "app", *pins)
        sent, differing = fidelity.differences(stub, client, "app")
    assert said.startswith(FAILURES.get(name, ""))
    assert bool(said) == (name in FAILURES), said
    assert len({fidelity.key_of(line) for line in sent}) == CALLS.get(name, 6)
    row = row_of(name, sent, differing)
    table.append(row)
    found = {(case, field): values for ((case, _), field), values in differing.items()}
    assert found.keys() == LOSSES.get(name, {}).keys(), json.dumps([*found.items()], indent=1)
    assert row in DOCS.read_text(), f"The table of {DOCS} needs this row:\n{row}"


def row_of(name, sent, differing):
    """A row of the table: how many calls are right in each column, and why others are not."""
    missing = {key for key, field in differing if field == "call"}
    cells = []
    for column in COLUMNS:
        fields = {"settings": ("temperature", "tool_choice")}.get(column, (column,))
        wrong = missing | {key for key, field in differing if field in fields}
        cells.append(f"{len(sent) - len(wrong)}/{len(sent)}")
    app, _, *pins = APPS[name]
    versions = ", ".join(environments.version_of(app, each, *pins) for each in packages(name))
    reasons = " ".join(dict.fromkeys(LOSSES.get(name, {}).values()))
    return f"| {name} | {versions} | {' | '.join(cells)} | {reasons} |"


def packages(name):
    return next(names for start, names in PACKAGES.items() if name.startswith(start))
