"""The swap, step by step: what it asks of the engine."""

from types import SimpleNamespace

import pytest

from langchain_finetune.migration.swap import base_url_of_engine, promote, swap_step

OLD, NEW, OTHER = "ft:gpt-4o-mini:acme::1", "ft:nano:local::2", "ft:nano:local::1"


@pytest.mark.parametrize("engine", ["local", "openai"])
def test_what_answers_to_the_name_is_the_old_model_only_at_its_own_engine(engine):
    local = SimpleNamespace(engine="local")
    settings = SimpleNamespace(to=local, model=OLD, engine=engine, swap=True, out=None)
    result = SimpleNamespace(decision=SimpleNamespace(verdict="pass"), new=NEW)
    flow = swap_step(settings, SimpleNamespace(steps={}), result)
    next(flow)
    alias = {"target": OTHER, "candidate": None}
    asked = flow.send(alias).action
    if engine == "local":
        assert (asked.func, asked.args) == (promote, (OLD, NEW, alias))
    else:
        assert asked is base_url_of_engine
