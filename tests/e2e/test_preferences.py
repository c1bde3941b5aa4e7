"""Pairs of answers from each source: LangSmith's own client and evaluation, the real store."""

import pytest
from langsmith import Client

from langchain_finetune import (
    Convert,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
    LangSmithThreadChatLoader,
    LoadError,
)
from support.pairs import made
from support.runs import TOOL
from support.store import record, say

V2 = "/api/v2/runs/query"


@pytest.fixture(params=["new API", "old API"])
def langsmith(request, filled, gate):
    with gate.without({V2} if request.param == "old API" else set()):
        yield filled


@pytest.fixture
def project(request):
    """A name of its own for each test."""
    return request.node.name


def test_scores_of_the_same_input(langsmith, project):
    params = {"extra": {"invocation_params": {"tools": [TOOL]}}}
    texts = [
        ("6*7?", "42", 1.0),
        ("6*7?", "41", 0.2),
        ("6*7?", "about 42", 0.5),
        ("Hi", "Hello", 1),
    ]
    said = []
    for at, (question, answer, score) in enumerate(texts):
        root, run = record(langsmith, question, answer, project=project, at=at, **params)
        said.append((root, str(run.id), score))
    _, unscored = record(langsmith, "6*7?", "43", project=project, at=9)
    langsmith.flush()
    for root, _, score in said:
        say(langsmith, root, "user_score", score=score)
    # Two users of one mind less: the mean counts.
    say(langsmith, said[2][0], "user_score", score=0.7)
    say(langsmith, said[2][0], "other", score=-5)
    langsmith.flush()
    feedback = {"key": "user_score", "use_score": True}
    loader = LangSmithRunChatLoader(project_name=project, client=langsmith, feedback=feedback)
    ids = [run_id for _, run_id, _ in said]
    pairs, skips = made(loader)
    assert pairs == [("6*7?", "42", "41", ids[0], ids[1])]
    assert sorted(skips) == sorted([(ids[2], "neither_best_nor_worst"), (ids[3], "no_pair")])
    [line] = (loader | Convert(method="preference")).invoke({})
    assert line["input"]["tools"] == [TOOL]
    assert {session["score"] for session in loader.lazy_load()} == {1.0, 0.2, 0.6}
    plain = LangSmithRunChatLoader(project_name=project, client=langsmith)
    pairs, skips = made(plain)
    assert (pairs, {code for _, code in skips}) == ([], {"no_pair"})
    assert str(unscored.id) in {run_id for run_id, _ in skips}


def test_scores_on_the_run_itself(langsmith, project):
    runs = [record(langsmith, "q", text, project=project, at=at)[1] for at, text in enumerate("ab")]
    langsmith.flush()
    for run, score in zip(runs, (0, 1), strict=True):
        say(langsmith, run, "judge", score=score)
    langsmith.flush()
    feedback = {"key": "judge", "on": "run", "use_score": True}
    loader = LangSmithRunChatLoader(project_name=project, client=langsmith, feedback=feedback)
    assert made(loader) == ([("q", "b", "a", str(runs[1].id), str(runs[0].id))], [])


def test_a_score_on_the_root_pairs_the_step_where_two_traces_part(langsmith, project):
    for at, (step, score) in enumerate([("good", 1), ("bad", 0)]):
        root, _ = record(langsmith, "q", "look it up", project=project, at=20 * at)
        record(langsmith, "found", step, project=project, at=20 * at + 5, parent=root)
        langsmith.flush()
        say(langsmith, root, "user_score", score=score)
    langsmith.flush()
    feedback = {"key": "user_score", "use_score": True}
    loader = LangSmithRunChatLoader(project_name=project, client=langsmith, feedback=feedback)
    pairs, skips = made(loader)
    assert [pair[:3] for pair in pairs] == [("found", "good", "bad")]
    assert [code for _, code in skips] == ["no_pair", "no_pair"]


def test_corrections_against_the_runs_answer(langsmith, project):
    root, run = record(langsmith, "6*7?", "41", project=project)
    same_root, same = record(langsmith, "1+1?", "2", project=project, at=5)
    langsmith.flush()
    say(langsmith, root, "fix", correction={"output": "42"}, score=0)
    say(langsmith, same_root, "fix", correction={"output": "2"})
    langsmith.flush()
    feedback = {"key": "fix", "use_correction": True, "use_score": True}
    loader = LangSmithRunChatLoader(project_name=project, client=langsmith, feedback=feedback)
    run_id = str(run.id)
    assert made(loader) == ([("6*7?", "42", "41", run_id, run_id)], [(str(same.id), "no_pair")])
    [fixed] = [each for each in loader.lazy_load() if each["source"]["run_id"] == run_id]
    # The score was of the answer that was replaced.
    assert "score" not in fixed
    assert fixed["rejected"] == {"role": "assistant", "content": "41"}


def test_corrected_examples_against_their_source_runs(langsmith, project):
    extra = {"invocation_params": {"tools": [TOOL]}}
    runs = [
        record(langsmith, question, "41", project=project, at=at, extra=extra)[1]
        for at, question in enumerate(["6*7?", "7*6?", "5*8?"])
    ]
    langsmith.flush()
    dataset = langsmith.create_dataset(project)
    answers = [("6*7?", "42", runs[0].id), ("7*6, please?", "42", runs[1].id),
               ("5*8?", "41", runs[2].id), ("2*2?", "4", None)]  # fmt: skip
    for question, answer, run_id in answers:
        langsmith.create_example(
            inputs={"messages": [{"role": "user", "content": question}]},
            reference_outputs={"message": {"role": "assistant", "content": answer}},
            dataset_id=dataset.id,
            source_run_id=run_id,
        )
    loader = LangSmithDatasetChatLoader(
        dataset_name=project, project_name=project, use_source_run=True, client=langsmith
    )
    run_id = str(runs[0].id)
    pairs, skips = made(loader)
    assert pairs == [("6*7?", "42", "41", run_id, run_id)]
    assert [code for _, code in skips] == ["no_pair"] * 3
    first, edited, *_ = loader.load()
    # The request is the run's, with its tools, where the example still asks the same.
    assert (first["tools"], edited.get("tools")) == ([TOOL], None)
    assert first["source"]["dataset_id"] == str(dataset.id)
    with pytest.raises(LoadError, match="used only with use_source_run"):
        list(loader.invoke({"use_source_run": False}))
    plain = LangSmithDatasetChatLoader(dataset_name=project, client=langsmith).load()
    assert [session.get("rejected") for session in plain] == [None] * 4


def test_completions_and_chats_of_one_project(langsmith, project):
    outputs = {"generations": [[{"text": " a time"}]]}
    record(langsmith, "Hi", "Hello", project=project)
    inputs = {"prompts": ["Once upon"]}
    record(langsmith, "", "", project=project, at=5, inputs=inputs, outputs=outputs)
    langsmith.flush()
    loader = LangSmithRunChatLoader(project_name=project, client=langsmith)
    completions = (loader | Convert(method="completion")).invoke({})
    assert list(completions) == [{"prompt": "Once upon", "completion": " a time"}]
    assert completions.rejected_by_reason() == {"chat": 1}
    supervised = (loader | Convert()).invoke({})
    assert [line["messages"][-1]["content"] for line in supervised] == ["Hello"]
    assert supervised.rejected_by_reason() == {"completion_run": 1}


def test_conditions_that_do_not_fit_are_named():
    comparison = "3f0e2a4e-0000-4000-8000-000000000000"
    scored = {"key": "a", "use_score": True}
    for feedback, told in [
        ([scored, scored | {"key": "b"}], "only one feedback"),
        ({"key": "a", "comparative_experiment": comparison}, "needs use_score"),
        (scored | {"comparative_experiment": comparison, "above": 0}, "allows no bounds"),
    ]:
        with pytest.raises(LoadError, match=told):
            LangSmithRunChatLoader(project_name="app", feedback=feedback)


def test_threads_are_no_comparisons(filled):
    comparison = "3f0e2a4e-0000-4000-8000-000000000000"
    feedback = {"key": "a", "use_score": True, "comparative_experiment": comparison}
    loader = LangSmithThreadChatLoader(project_name="app", client=filled, feedback=feedback)
    with pytest.raises(LoadError, match="comparison of experiments"):
        loader.load()


async def test_sync_and_async_give_the_same_pairs(filled):
    for at, answer in enumerate("ab"):
        root, _ = record(filled, "q", answer, project="parity", at=at)
        filled.flush()
        say(filled, root, "user_score", score=at)
    filled.flush()
    feedback = {"key": "user_score", "use_score": True}
    loader = LangSmithRunChatLoader(project_name="parity", client=filled, feedback=feedback)
    chain = loader | Convert(method="preference")
    assert list(await chain.ainvoke({})) == list(chain.invoke({})) != []


def test_source_runs_need_their_project_where_only_the_new_api_is(filled, gate):
    _, run = record(filled, "6*7?", "41", project="lonely")
    filled.flush()
    dataset = filled.create_dataset("lonely")
    filled.create_example(
        inputs={"messages": [{"role": "user", "content": "6*7?"}]},
        reference_outputs={"message": {"role": "assistant", "content": "42"}},
        dataset_id=dataset.id,
        source_run_id=run.id,
    )
    gate.answers = lambda path, count: (404, {}) if path == "/runs/query" else None
    client = Client(api_url=filled.api_url, api_key="any", auto_batch_tracing=False)
    loader = LangSmithDatasetChatLoader(dataset_name="lonely", client=client, use_source_run=True)
    with pytest.raises(LoadError, match="set project_name"):
        loader.load()
    assert len(made(loader.model_copy(update={"project_name": "lonely"}))[0]) == 1
