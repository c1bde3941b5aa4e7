"""Comparisons of experiments: LangSmith's own evaluations, and both answers side by side."""

import uuid

import pytest
from langsmith import Client

from support.experiments import chat_case, compared, question

CASES = [(1, 1)] * 3 + [(1, 0)] * 4 + [(0, 1)] * 2 + [(1, None)]


@pytest.fixture(scope="module")
def made(module_langsmith):
    name = f"sums {uuid.uuid4().hex[:8]}"
    comparison, example_ids = compared(module_langsmith, name, CASES)
    return name, f"/ui/comparisons/{comparison.id}", example_ids


def cases_of(page):
    """The cases that a page lists."""
    return [each["href"] for each in page.all("a") if "/cases/" in each.get("href", "")]


def test_comparisons_are_listed(visitor, made):
    name, path, _ = made
    page = visitor.get("/ui/comparisons")
    assert page.all("a", href=path)
    assert name in page.text
    assert f"old {name}" in page.text
    assert [each["href"] for each in page.all("a", **{"aria-current": "page"})] == [
        "/ui/comparisons"
    ]


def test_each_evaluator_is_summed_up(visitor, made):
    _, path, _ = made
    text = visitor.get(path).text
    # Nine cases have a score of both: old 7 of 9, new 5 of 9.
    assert "correct 0.778 0.556 -0.222 2 4 3" in text
    assert "fluent 0.500 0.500 +0.000 0 0 10" in text
    assert "verdict pass" in text
    assert "10 1 " in text.partition("Median duration")[2]


@pytest.mark.parametrize(
    ("outcome", "numbers"),
    [
        ("lost", [3, 4, 5, 6]),
        ("won", [7, 8]),
        ("tied", [0, 1, 2]),
        ("unscored", [9]),
        ("", [3, 4, 5, 6, 0, 1, 2, 7, 8, 9]),
        ("unknown", [3, 4, 5, 6, 0, 1, 2, 7, 8, 9]),
    ],
)
def test_cases_are_filtered_and_the_worst_come_first(visitor, made, outcome, numbers):
    _, path, example_ids = made
    page = visitor.get(path, evaluator="correct", outcome=outcome)
    listed = [each.split("/")[-1].split("?")[0] for each in cases_of(page)]
    assert listed == [example_ids[number] for number in numbers]
    assert f"{len(numbers)} case" in page.text
    chosen = [each["value"] for each in page.all("option") if "selected" in each]
    assert chosen == ["correct", "" if outcome == "unknown" else outcome]


def test_another_evaluator_is_another_order(visitor, made):
    _, path, _ = made
    page = visitor.get(path, evaluator="fluent", outcome="tied")
    assert len(cases_of(page)) == 10
    assert "selected" in page.all("option", value="fluent")[0]


def test_both_answers_are_side_by_side_and_lead_to_the_next(visitor, made):
    name, path, _ = made
    page = visitor.get(cases_of(visitor.get(path, evaluator="correct", outcome="lost"))[0])
    assert "Case 1 of 4" in page.text
    seen = []
    while True:
        seen.append(page)
        [link] = page.all("a", rel="next") or [None]
        if link is None:
            break
        page = visitor.get(link["href"])
    assert [question(number) in each.text for number, each in enumerate(seen, 3)] == [True] * 4
    for number, each in enumerate(seen, 3):
        for said in (
            f"Old: old {name}",
            f"New: new {name}",
            f"old answer {number}",
            f"new answer {number}",
            "calls Calculator",
            "correct 1 said 1",
            "correct 0 said 0",
            "fluent 0.5",
            "Reference answer",
        ):
            assert said in each.text
    assert [bool(each.all("a", rel="prev")) for each in seen] == [False, True, True, True]
    back = visitor.get(seen[1].all("a", rel="prev")[0]["href"])
    assert "Case 1 of 4" in back.text
    runs = [each["href"] for each in back.all("a") if each.get("href", "").startswith("/ui/runs/")]
    assert [visitor.get(each).status for each in runs] == [200, 200]


def test_a_case_outside_of_the_filter_is_shown_too(visitor, made):
    _, path, example_ids = made
    page = visitor.get(f"{path}/cases/{example_ids[0]}", evaluator="correct", outcome="lost")
    assert question(0) in page.text
    assert not page.all("a", rel="next")
    assert " of 4" not in page.text


def test_an_answer_that_failed_says_why(visitor, made):
    _, path, example_ids = made
    page = visitor.get(f"{path}/cases/{example_ids[9]}")
    assert "ValueError" in page.text
    assert page.all("pre", **{"class": "notice failed"})
    listed = visitor.get(path, outcome="unscored")
    assert "ValueError" in listed.text
    assert "Traceback" not in listed.text


def test_repetitions_are_averaged_and_all_are_shown(visitor, langsmith):
    name = f"twice {uuid.uuid4().hex[:8]}"
    comparison, [example_id] = compared(langsmith, name, [(1, 0)], repetitions=2)
    path = f"/ui/comparisons/{comparison.id}"
    assert "correct 1.000 0.000 -1.000 0 1 0" in visitor.get(path).text
    text = visitor.get(f"{path}/cases/{example_id}").text
    for side in ("old", "new"):
        assert text.count(f"{side} answer 0") == 2
    assert "answer 2" in text


def test_many_cases_have_pages(visitor, langsmith):
    name = f"many {uuid.uuid4().hex[:8]}"
    comparison, _ = compared(langsmith, name, [(1, 0)] * 23)
    page = visitor.get(f"/ui/comparisons/{comparison.id}")
    assert len(cases_of(page)) == 20
    [after] = page.all("a", rel="next")
    page = visitor.get(after["href"].partition("#")[0])
    assert len(cases_of(page)) == 3
    assert page.all("a", rel="prev")
    assert not page.all("a", rel="next")


def test_chats_are_shown_as_chats_and_without_scores(visitor, langsmith):
    comparison = chat_case(langsmith, f"chat {uuid.uuid4().hex[:8]}", "Hi.", "Good day.")
    page = visitor.get(f"/ui/comparisons/{comparison.id}")
    assert "No case has a score of both experiments yet." in page.text
    assert "Hello?" in page.text
    [case] = cases_of(page)
    text = visitor.get(case).text
    assert "system You are kind. user Hello?" in text
    assert "Hi." in text
    assert "Good day." in text
    assert "Reference answer" not in text


def test_feedback_of_another_comparison_does_not_count(visitor, langsmith, made):
    _, path, example_ids = made
    case = f"{path}/cases/{example_ids[0]}"
    run = next(each["href"] for each in visitor.get(case).all("a") if "/ui/runs/" in each["href"])
    asked = {"run_id": run.split("/")[-1], "session_id": uuid.uuid4()}
    for comparison, key in ((path.split("/")[-1], "own"), (str(uuid.uuid4()), "other")):
        langsmith.create_feedback(
            **asked, key=key, score=1, comparative_experiment_id=comparison,
            feedback_group_id=uuid.uuid4(),
        )  # fmt: skip
    langsmith.flush()
    text = visitor.get(case).text
    assert "own 1" in text
    assert "other 1" not in text


def test_examples_and_experiments_may_be_gone(visitor, langsmith):
    name = f"gone {uuid.uuid4().hex[:8]}"
    comparison, [example_id] = compared(langsmith, name, [(1, 0)])
    path = f"/ui/comparisons/{comparison.id}"
    langsmith.delete_example(example_id)
    assert question(0) in visitor.get(f"{path}/cases/{example_id}").text
    for each in comparison.experiments_info:
        langsmith.delete_project(project_id=each["id"])
    page = visitor.get(path)
    assert (page.status, "0 cases" in page.text) == (200, True)
    assert visitor.get(f"{path}/cases/{example_id}").status == 404
    langsmith.delete_dataset(dataset_name=name)
    assert visitor.get(path).status == 404


def test_what_there_is_not(visitor, made):
    _, path, _ = made
    assert visitor.get(f"/ui/comparisons/{uuid.uuid4()}").status == 404
    assert visitor.get("/ui/comparisons/x").status == 400
    assert visitor.get(f"{path}/cases/{uuid.uuid4()}").status == 404
    assert visitor.get(f"{path}/cases/x").status == 400
    assert visitor.get(path, offset="x").status == 400
    assert visitor.get(path, offset=-1).status == 400
    assert (
        visitor.get("/ui/comparisons?offset=10000").text.count("No comparisons on this page") == 1
    )


def test_langsmiths_own_links_lead_here(visitor, engine, module_langsmith, made):
    name, path, example_ids = made
    app = f"{engine.url}/ui/langsmith"
    with_links = Client(
        api_url=engine.url, api_key=engine.key, web_url=app, auto_batch_tracing=False
    )
    dataset = with_links.read_dataset(dataset_name=name)
    comparison = visitor.get(path)
    ids = [
        each["href"].removeprefix("/?project=")
        for each in comparison.all("a")
        if each["href"].startswith("/?project=")
    ]
    old, new = (with_links.read_project(project_id=each) for each in ids)
    base = old.url.partition("/projects/p/")[0]
    compare = f"{base}/datasets/{dataset.id}/compare?selectedSessions="
    assert name in visitor.get(f"{compare}{old.id},{new.id}".removeprefix(engine.url)).text
    assert "Experiments" in visitor.get(f"{compare}{old.id},{new.id}".removeprefix(engine.url)).text
    for url, heading in (
        (f"{compare}{old.id}", "Runs"),
        # A link that led to the form of signing in, which drops the query.
        (compare, name),
        (new.url, "Runs"),
        (dataset.url, name),
    ):
        page = visitor.get(url.removeprefix(engine.url))
        assert (page.status, f"{heading} · langchain-finetune" in page.text) == (200, True), url
    case = visitor.get(f"{path}/cases/{example_ids[0]}")
    run = next(each["href"] for each in case.all("a") if "/ui/runs/" in each["href"])
    # As `client.get_run_url` makes it.
    url = f"{old.url}/r/{run.removeprefix('/ui/runs/')}?poll=true"
    assert visitor.get(url.removeprefix(engine.url)).all("form", action=f"{run}/vote")
    assert visitor.get("/ui/langsmith/o/x/datasets/x/compare").status == 400
    with_links.cleanup()
