"""The page of models."""

import ast
import html
import uuid

import pytest

from langchain_finetune.home import KEY_VARIABLE
from langchain_finetune.local.page.render_html import render_fragment
from langchain_finetune.local.page.routes.models import ModelRow


def snippet(model, base_url, key_file):
    """The Python code of a model, as a browser shows it."""
    code = render_fragment(
        "_snippet.html",
        row=ModelRow(model, "base"),
        base_url=base_url,
        key_variable=KEY_VARIABLE,
        key_file=str(key_file),
    )
    return html.unescape(code)


def test_models_are_listed_with_where_they_come_from(visitor, create, ended, client):
    job = ended(create(suffix="clerk").id)
    page = visitor.get("/ui/models")
    assert page.status == 200
    assert "Alias of nano" in page.text
    checkpoints = [
        each.fine_tuned_model_checkpoint
        for each in client.fine_tuning.jobs.checkpoints.list(job.id)
    ]
    for name in ("nano", "gpt-3.5-turbo", *checkpoints):
        assert page.all("li", id=name) != []
    assert page.all("a", href=f"/ui/jobs/{job.id}") != []
    # What came along can't be deleted.
    deleted = {each["href"] for each in page.all("a") if "/delete?" in each["href"]}
    assert not any(address.endswith(("=nano", "=gpt-3.5-turbo")) for address in deleted)


def test_checkpoints_nest_under_their_model(visitor, create, ended, client):
    job = ended(create(suffix="nest").id)
    steps = client.fine_tuning.jobs.checkpoints.list(job.id)
    names = [each.fine_tuned_model_checkpoint for each in steps]
    html_page = visitor.get("/ui/models").html
    model = job.fine_tuned_model
    inside = html_page.partition(f'<li class="card" id="{model}">')[2]
    inside = inside.partition("2 checkpoints</summary>")[2].partition("</ul>")[0]
    for name in set(names) - {model}:
        assert html_page.count(f'<li class="card" id="{name}">') == 1
        assert f'<li class="card" id="{name}">' in inside
    # They can be reached, chosen for an alias, and outlive their model.
    assert f"<option>{names[-1]}</option>" in html_page
    client.models.delete(model)
    assert f'<li class="card" id="{names[-1]}">' in visitor.get("/ui/models").html


def test_the_snippet_shows_where_the_key_is_and_never_the_key(visitor, engine):
    page = visitor.get("/ui/models")
    assert engine.key not in page.html
    assert f'base_url="{engine.url}/v1"' in page.text
    assert "LCFT_API_KEY" in page.text


def test_the_snippet_works_as_it_is_pasted(engine, monkeypatch):
    monkeypatch.delenv("LCFT_API_KEY", raising=False)
    lines = snippet("nano", f"{engine.url}/v1", engine.home / "api_key")
    found = {}
    exec(compile(lines, "snippet", "exec"), found)
    assert "llama" in found["model"].invoke("Hi").content
    found["model"].root_client.close()


@pytest.mark.parametrize("name", ['ft:"quoted"', "back\\slash", "line\nend", "ft:nano:local:é:1"])
def test_any_name_is_a_literal(name, tmp_path):
    tree = ast.parse(snippet(name, "http://127.0.0.1:1/v1", tmp_path / "api_key"))
    [call] = [each for each in ast.walk(tree) if getattr(each, "keywords", None)]
    assert ast.literal_eval(call.keywords[0].value) == name


def test_a_model_is_deleted_after_a_question(visitor, create, ended, client):
    name = ended(create(suffix=uuid.uuid4().hex[:6]).id).fine_tuned_model
    page = visitor.get("/ui/models/delete", name=name)
    assert page.status == 200
    assert name in page.text
    assert page.all("input", name="name")[0]["value"] == name
    assert name in [model.id for model in client.models.list()]
    page = visitor.post("/ui/models/delete", name=name)
    assert page.address == "/ui/models"
    assert f"The model {name} was deleted." in page.text
    assert name not in [model.id for model in client.models.list()]
    assert visitor.post("/ui/models/delete", name=name).status == 404


@pytest.mark.parametrize(("name", "status"), [("nano", 403), ("gpt-3.5-turbo", 403), ("x", 404)])
def test_others_can_not_be_deleted(visitor, name, status, client):
    assert visitor.get("/ui/models/delete", name=name).status == status
    assert visitor.post("/ui/models/delete", name=name).status == status
    assert {"nano", "gpt-3.5-turbo"} <= {model.id for model in client.models.list()}


def test_other_sites_can_delete_no_model(ask, cookie, create, ended, client):
    name = ended(create().id).fine_tuned_model
    headers = {"Cookie": cookie, "Origin": "http://127.0.0.1:1"}
    assert ask("POST", "/ui/models/delete", headers, {"name": name})[0] == 403
    assert name in [model.id for model in client.models.list()]
