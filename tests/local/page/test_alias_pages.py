"""Aliases on the page of models: where they point, and the forms to roll out and back."""

import uuid
from urllib.parse import quote

import pytest

from support.api import get_json


@pytest.fixture
def tuned(create, ended):
    """The names of two fine-tuned models."""
    return [ended(create(suffix=uuid.uuid4().hex[:6]).id).fine_tuned_model for _ in range(2)]


@pytest.fixture
def name():
    return f"bot {uuid.uuid4().hex[:6]} <&>"


@pytest.fixture
def change(visitor, name):
    def send(action, **given):
        return visitor.post(
            "/ui/models/alias", came_from="/ui/models", name=name, action=action, **given
        )

    return send


def state(engine, name):
    return get_json(engine, f"/v1/aliases/{quote(name)}")[1]


def test_out_and_back(change, engine, name, tuned, client, visitor):
    old, new = tuned
    page = change("promote", model=old)
    assert page.address.startswith("/ui/models#bot")
    assert f"{old} answers {name} now." in page.text
    assert page.all("li", id=name) != []
    page = change("canary", model=new, share="0.25")
    assert "Canary:" in page.text
    assert f"{new} answers 25% of the threads and users" in page.text
    assert state(engine, name)["share"] == "0.25"
    page = change("shadow", model=new)
    assert f"project shadow:{name}" in page.text
    assert f"Promote {new}" in page.text
    page = change("rollback")
    assert (state(engine, name)["mode"], state(engine, name)["target"]) == ("promoted", old)
    page = change("promote", model=new)
    assert f"Roll back to {old}" in page.text
    assert client.models.retrieve(name).model_extra["root"] == new
    change("rollback")
    assert state(engine, name)["target"] == old
    page = visitor.get("/ui/models")
    assert f"Canary of {new} , 25%" in page.text
    # A model in use is not deleted, and it is said why.
    page = visitor.post("/ui/models/delete", name=old)
    assert page.status == 409
    assert "promote another model there" in page.text
    page = change("remove")
    assert f"The alias {name} was removed." in page.text
    assert page.all("li", id=name) == []


def test_the_models_name_stays_with_its_alias(change, engine, tuned, visitor):
    old, new = tuned
    page = visitor.post("/ui/models/alias", name=old, action="canary", model=new, share="0.1")
    assert f"{new} answers 10% of the threads and users, {old} the others" in page.text
    assert len(page.all("li", id=old)) == 1
    visitor.post("/ui/models/alias", name=old, action="remove")
    assert get_json(engine, f"/v1/aliases/{quote(old)}")[0] == 404


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"action": "promote", "model": "nowhere"}, 404),
        ({"action": "rollback"}, 404),
        ({"action": "canary", "model": "nano", "share": "2"}, 400),
        ({"action": "explode", "model": "nano"}, 400),
        ({"action": "remove"}, 404),
    ],
)
def test_what_is_refused_is_said(change, form, status):
    assert change(**form).status == status


def test_other_sites_can_change_nothing(ask, cookie, engine, name):
    headers = {"Cookie": cookie, "Origin": "http://127.0.0.1:1"}
    form = {"name": name, "action": "promote", "model": "nano"}
    assert ask("POST", "/ui/models/alias", headers, form)[0] == 403
    assert "error" in state(engine, name)


def test_figures_by_model(visitor, trace, langsmith, judge, change, name):
    change("promote", model="nano")
    data = {"run_type": "llm", "inputs": {"messages": []}, "name": "ChatOpenAI"}
    for score in (1, 0, 1, 1):
        run = trace(
            data | {"outputs": {"model": "nano", "choices": []}},
            extra={"metadata": {"ls_model_name": name}},
        )
        judge(run, "liked", score=score)
    trace(
        data | {"outputs": {"model": "nano", "choices": []}},
        extra={"metadata": {"ls_model_name": "nano", "rollout": name, "rollout_side": "new"}},
    )
    page = visitor.get("/ui/models")
    assert "nano 4 0 2.0 s liked 0.75 (4)" in page.text
    assert "nano (shadow) 1 0 2.0 s -" in page.text
