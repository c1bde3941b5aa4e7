"""Whatever people, models and apps wrote stays text: no element, no attribute, no address."""

import uuid

import pytest

from support.experiments import compared
from support.runs import constructor

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</textarea></title></style><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% include 'base.html' %}",
    "javascript:alert(1)",
]
EXPECTED_SCRIPTS = {"/ui/static/page.js"}


def assert_inert(page, *attacks):
    """The attacks are there as text, and nothing came of them."""
    assert page.status < 500
    for element in page.elements:
        assert element.tag not in {"img", "svg", "iframe", "object", "embed", "base", "style"}
        if element.tag == "script":
            assert element.attributes["src"] in EXPECTED_SCRIPTS
        for name, value in element.attributes.items():
            assert not name.startswith("on"), name
            assert name != "style"
            if name in {"href", "src", "action", "formaction"}:
                assert value.startswith(("/", "?", "#")), value
                assert not value.startswith("//")
            if name == "autofocus":
                assert element.attributes.get("id") == "api_key"
    assert "7 * 7" not in page.text.replace("{{ 7 * 7 }}", "")
    assert " 49{" not in page.text
    for attack in attacks:
        assert " ".join(attack.split()) in page.text


@pytest.mark.parametrize("attack", ATTACKS)
def test_runs(visitor, trace, judge, own_runs, attack):
    call = {"name": attack, "args": {attack: attack}, "id": attack, "type": "tool_call"}
    sent = [
        constructor("SystemMessage", content=attack, type="system"),
        constructor("HumanMessage", content=attack, type="human", name=attack),
        constructor("HumanMessage", content=[{"type": attack, attack: attack}], type="human"),
        constructor("ChatMessage", content=attack, type="chat", role=attack),
        constructor(
            "HumanMessage",
            content=[{"type": "image_url", "image_url": {"url": attack}}],
            type="human",
        ),
        {attack: attack},
    ]
    answer = constructor("AIMessage", content=attack, type="ai", tool_calls=[call])
    tool = {"type": "function", "function": {"name": attack, "description": attack}}
    metadata = {"ls_model_name": attack, attack: attack}
    run_id = trace(
        {
            "run_type": "llm",
            "name": attack,
            "inputs": {"messages": [sent]},
            "outputs": {"generations": [[{"text": "", "message": answer}]]},
            "extra": {"metadata": metadata, "invocation_params": {"tools": [tool]}},
            "tags": [attack],
            "error": attack,
        }
    )
    judge(run_id, attack, score=0.5, value=attack, comment=attack)
    page = visitor.get(f"/ui/runs/{run_id}")
    assert page.status == 200
    assert_inert(page, attack)
    assert_inert(visitor.get(own_runs()), attack)
    assert_inert(visitor.post(f"/ui/runs/{run_id}/correction", text=attack, calls=attack), attack)
    plain = {
        "run_type": "chain",
        "name": attack,
        "inputs": {attack: attack},
        "outputs": {"x": attack},
    }
    assert_inert(visitor.get(f"/ui/runs/{trace(plain)}"), attack)


@pytest.mark.parametrize("attack", ATTACKS)
def test_datasets_and_notices(visitor, trace, langsmith, own_runs, attack):
    name = f"{attack} {uuid.uuid4().hex[:6]}"
    page = visitor.post(
        "/ui/datasets/add-runs", run=[trace(), trace(name=attack, error="x")], new_name=name
    )
    assert_inert(page, name, f"{attack} (")
    dataset = langsmith.create_dataset(f"{name} 2", description=attack)
    langsmith.create_example(
        inputs={attack: attack}, reference_outputs={attack: attack}, dataset_id=dataset.id
    )
    assert_inert(visitor.get(f"/ui/datasets/{dataset.id}"), attack)
    assert_inert(visitor.get("/ui/datasets"), name, attack)
    assert_inert(visitor.get(own_runs()), name)


@pytest.mark.parametrize("attack", ATTACKS)
def test_comparisons(visitor, langsmith, attack):
    name = f"{attack} {uuid.uuid4().hex[:6]}"
    cases = [(1, 0), (1, None)]
    comparison, example_ids = compared(langsmith, name, cases, attack=attack)
    path = f"/ui/comparisons/{comparison.id}"
    assert_inert(visitor.get("/ui/comparisons"), name)
    assert_inert(visitor.get(path), name, f"correct{attack}", f"pass{attack}")
    assert_inert(visitor.get(path, evaluator=attack, outcome=attack))
    for example_id in example_ids:
        case = visitor.get(f"{path}/cases/{example_id}")
        assert_inert(case, f"old answer {example_ids.index(example_id)}{attack}", f"{attack} 1")


@pytest.mark.parametrize("attack", ATTACKS)
def test_projects_and_what_is_asked_for(visitor, langsmith, attack):
    fields = ("kind", "name", "model", "status", "feedback_key", "at_least", "filter", "project")
    for field in fields:
        assert_inert(visitor.get("/", **{field: attack}))
    project = langsmith.create_project(f"{attack} {uuid.uuid4().hex[:6]}")
    assert_inert(visitor.get("/", project=str(project.id)), project.name)


@pytest.mark.parametrize("attack", ATTACKS)
def test_addresses(visitor, ask, attack):
    assert_inert(visitor.get("/ui/sign-in", next=f"/ui/{attack}"))
    assert_inert(visitor.get("/ui/sign-in", ticket=attack))
    assert_inert(visitor.get(f"/ui/runs/{attack}"))
    assert_inert(visitor.get(f"/ui/{attack}"))
