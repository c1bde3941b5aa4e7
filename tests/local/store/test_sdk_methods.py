"""Every method of LangSmith's client: it works here, or it says clearly that it does not.

A new version of the client with a new method fails here, until somebody decides about it.
"""

import inspect
from uuid import UUID, uuid4

import pytest
from langsmith import Client
from langsmith.evaluation import run_evaluator
from langsmith.schemas import DataType, ExampleCreate, ExampleUpdate
from langsmith.utils import LangSmithError, LangSmithNotFoundError

from support.store import NOON, record

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*in beta:UserWarning"),
]

NO_REQUEST = {"close", "cleanup", "flush", "flush_compressed_traces", "request_with_retries"}
"""What has no answer of its own: the others use it."""

ID = str(uuid4())
REFUSED = {
    # Sharing with the public: nobody else reaches this machine.
    "clone_public_dataset": [ID],
    "list_shared_examples": [ID],
    "list_shared_projects": {"dataset_share_token": ID},
    "list_shared_runs": [ID],
    "read_dataset_shared_schema": [ID],
    "read_run_shared_link": [ID],
    "read_shared_dataset": [ID],
    "read_shared_run": [ID],
    "run_is_shared": [ID],
    "share_dataset": [ID],
    "share_run": [ID],
    "unshare_dataset": [ID],
    "unshare_run": [ID],
    # The hub of prompts, agents and skills.
    "agent_exists": None,
    "create_commit": ["p", {}],
    "create_prompt": ["p"],
    "delete_agent": ["a/b"],
    "delete_prompt": ["p"],
    "delete_skill": ["a/b"],
    "get_prompt": None,
    "like_prompt": ["p"],
    "list_agents": [],
    "list_prompt_commits": ["p"],
    "list_prompts": [],
    "list_skills": [],
    "pull_agent": ["a/b"],
    "pull_prompt": ["p"],
    "pull_prompt_commit": ["p"],
    "pull_skill": ["a/b"],
    "push_agent": {"identifier": "a/b", "files": {}},
    "push_prompt": ["p"],
    "push_skill": {"identifier": "a/b", "files": {}},
    "skill_exists": None,
    "unlike_prompt": ["p"],
    "update_prompt": ["p"],
    # LangSmith's own judgements of projects.
    "generate_insights": None,
    "get_insights_report": {"id": ID, "project_id": ID},
    "list_project_issues": None,
    "poll_insights": {"id": ID, "project_id": ID, "rate": 1, "timeout": 1},
    # Deprecated by LangSmith itself; formulas it refuses without asking the server.
    "create_feedback_formula": None,
    "delete_feedback_formula": None,
    "get_experiment_results": None,
    "get_feedback_formula_by_id": None,
    "list_feedback_formulas": None,
    "update_feedback_formula": None,
    "upsert_examples_multipart": None,
}
"""What this store does not have, with arguments to ask for it; None: see the test."""


NO_SUCH_THING = r"(?i)unknown request url|not found|does not exist"


class Noting:
    """A client that notes which of its methods are called."""

    def __init__(self, client):
        self._client = client
        self.called = set()

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(self._client, name)


def use_runs(c):
    root, llm = record(c, "Tea?", "White.", extra={"metadata": {"thread_id": "t"}})
    c.flush()
    ids = [uuid4() for _ in range(3)]
    bodies = [
        {
            "id": run_id,
            "trace_id": run_id,
            "dotted_order": f"20261101T120000000000Z{run_id}",
            "name": "new",
            "run_type": "chain",
            "start_time": NOON,
            "inputs": {},
        }
        for run_id in ids
    ]
    c.create_run(**bodies[0])
    c.batch_ingest_runs([bodies[1] | {"session_name": "default"}])
    c.multipart_ingest([bodies[2] | {"session_name": "default"}])
    order = {"trace_id": ids[0], "dotted_order": bodies[0]["dotted_order"]}
    c.update_run(ids[0], end_time=NOON, **order)
    c.flush()
    assert {run.id for run in c.list_runs(project_name="default")} == set(ids)
    assert c.read_run(ids[0]).status == "success"
    assert [run.id for run in c.read_run(root.id, load_child_runs=True).child_runs] == [llm.id]
    assert c.get_run_stats(project_names=["app"])["run_count"] == 2
    assert c.get_run_url(run=root, project_name="app").endswith(f"/r/{root.id}?poll=true")
    [thread] = c.list_threads(project_name="app", start_time=NOON)
    assert [run.id for run in c.read_thread(thread_id="t", project_name="app")] == [root.id]
    assert thread["thread_id"] == "t"
    return root


async def use_projects(c):
    made = c.create_project("new", metadata={"a": 1}, upsert=True)
    assert c.update_project(made.id, description="d").description == "d"
    assert c.read_project(project_id=made.id, include_stats=True).run_count == 0
    assert (await c.aread_project(project_name="new")).id == made.id
    assert c.has_project("new")
    assert [each.id for each in c.list_projects(name_contains="NEW")] == [made.id]
    c.delete_project(project_id=made.id)
    assert not c.has_project("new")


def use_datasets(c, tmp_path):
    made = c.create_dataset("teas", inputs_schema={"type": "object"}, description="Mild")
    assert c.read_dataset(dataset_name="teas").description == "Mild"
    assert c.has_dataset(dataset_id=made.id)
    example, *_ = c.create_examples(
        dataset_id=made.id, examples=[{"inputs": {"tea": "white"}}, {"inputs": {"tea": "black"}}]
    )["example_ids"]
    first = c.read_dataset_version(dataset_id=made.id, tag="latest").as_of
    c.update_dataset_tag(dataset_id=made.id, as_of=first, tag="prod")
    c.update_dataset_splits(dataset_id=made.id, split_name="test", example_ids=[example])
    assert c.list_dataset_splits(dataset_id=made.id) == ["base", "test"]
    assert len(list(c.list_dataset_versions(dataset_id=made.id))) == 2
    changed = c.diff_dataset_versions(made.id, from_version="prod", to_version="latest")
    assert changed.examples_modified == [UUID(example)]
    path = tmp_path / "teas.csv"
    path.write_text("tea,mild\nwhite,yes\nblack,no\n")
    keys = {"input_keys": ["tea"], "output_keys": ["mild"]}
    assert c.upload_csv(str(path), **keys).name == "teas.csv"
    frame = pytest.importorskip("pandas").read_csv(path)
    uploaded = c.upload_dataframe(frame, name="frame", data_type=DataType.kv, **keys)
    examples = [(each.inputs, each.outputs) for each in c.list_examples(dataset_id=uploaded.id)]
    assert examples == [({"tea": "white"}, {"mild": "yes"}), ({"tea": "black"}, {"mild": "no"})]
    assert len(list(c.list_datasets())) == 3
    c.delete_dataset(dataset_name="frame")
    return made


def use_examples(c, dataset, root):
    here = {"dataset_id": dataset.id}
    made = c.create_example({"tea": "red"}, **here)
    c.update_example(made.id, outputs={"mild": False})
    c.update_examples(updates=[{"id": made.id, "metadata": {"a": 1}}], **here)
    c.update_examples_multipart(updates=[ExampleUpdate(id=made.id, split="test")], **here)
    found = c.read_example(made.id)
    assert (found.outputs, found.metadata) == (
        {"mild": False},
        {"a": 1, "dataset_split": ["test"]},
    )
    c.upload_examples_multipart(uploads=[ExampleCreate(inputs={"tea": "oolong"})], **here)
    from_run = c.create_example_from_run(c.read_run(root.id), **here)
    c.delete_example(from_run.id)
    c.delete_examples([made.id], hard_delete=True)
    assert [each.inputs["tea"] for each in c.list_examples(**here)] == ["white", "black", "oolong"]
    chats = c.create_dataset("chats", data_type=DataType.chat)
    message = {"type": "human", "data": {"content": "Tea?"}}
    answer = {"type": "ai", "data": {"content": "Yes."}}
    c.create_chat_example([message], answer, dataset_id=chats.id)
    [line] = c.read_dataset_openai_finetuning(dataset_id=chats.id)
    assert [each["content"] for each in line["messages"]] == ["Tea?", "Yes."]
    llms = c.create_dataset("llms", data_type=DataType.llm)
    assert c.create_llm_example("Tea?", "Yes.", dataset_id=llms.id).outputs == {"output": "Yes."}


async def use_experiments(c, dataset):
    async def answer(inputs):
        return {"tea": inputs["tea"]}

    def same(run, example):
        return {"key": "same", "score": run.outputs["tea"] == example.inputs["tea"]}

    options = {"data": dataset.name, "evaluators": [same]}
    one = c.evaluate(lambda inputs: {"tea": inputs["tea"]}, experiment_prefix="one", **options)
    two = await c.aevaluate(answer, experiment_prefix="two", **options)
    assert len(list(one)) == len([row async for row in two]) == 3
    c.flush()
    names = [one.experiment_name, two.experiment_name]
    ids = [c.read_project(project_name=name).id for name in names]
    assert c.read_project(project_id=ids[0], include_stats=True).feedback_stats["same"]["n"] == 3
    assert len(c.get_test_results(project_id=ids[0])) == 3
    made = c.create_comparative_experiment("both", ids)
    assert made.reference_dataset_id == dataset.id


async def use_feedback(c, root):
    project = c.read_project(project_name="app").id
    made = c.create_feedback(root.id, "user_score", score=1, session_id=project)
    c.update_feedback(made.id, score=0, comment="No")
    assert (c.read_feedback(made.id).score, c.read_feedback(made.id).comment) == (0, "No")
    token = c.create_presigned_feedback_token(root.id, "by_token")
    c.create_presigned_feedback_tokens(root.id, ["a", "b"])
    assert len(list(c.list_presigned_feedback_tokens(root.id))) == 3
    c.create_feedback_from_token(token.url, score=1)
    assert {each.key for each in c.list_feedback(run_ids=[root.id])} == {"user_score", "by_token"}
    c.delete_feedback(made.id)

    @run_evaluator
    def judge(run, example=None):
        return {"key": "judged", "score": 1}

    run = c.read_run(root.id)
    c.evaluate_run(run, judge)
    await c.aevaluate_run(run, judge)
    c.flush()
    assert {each.key for each in c.list_feedback(run_ids=[root.id])} == {"judged", "by_token"}
    config = {"type": "continuous", "min": 0.0, "max": 1.0}
    c.create_feedback_config("judged", feedback_config=config)
    c.update_feedback_config("judged", is_lower_score_better=True)
    assert [each.feedback_key for each in c.list_feedback_configs()] == ["judged"]
    c.delete_feedback_config("judged")
    use_categories(c)


def use_categories(c):
    sad, glad = {"value": 0, "label": "sad"}, {"value": 1, "label": "glad"}
    scale = {"type": "categorical", "categories": [sad]}
    made = c.create_feedback_config("mood", feedback_config=scale)
    added = c.add_feedback_categories("mood", [glad], config_id=made.id)
    assert added.feedback_config["categories"] == [sad, glad]
    for clash in ({"value": 1}, {"value": 2, "label": "sad"}):
        with pytest.raises(LangSmithError, match="Two categories"):
            c.add_feedback_categories("mood", [clash])
    left = c.remove_feedback_categories("mood", [0])
    assert left.feedback_config["categories"] == [glad]
    with pytest.raises(LangSmithError, match="no configuration with this id"):
        c.add_feedback_categories("mood", [sad], config_id=ID)
    c.delete_feedback_config(config_id=made.id)
    assert not list(c.list_feedback_configs())


def use_queues(c, root):
    queue = c.create_annotation_queue(name="to check")
    c.update_annotation_queue(queue.id, rubric_instructions="Be kind.")
    assert c.read_annotation_queue(queue.id).rubric_instructions == "Be kind."
    key = {"session_id": c.read_project(project_name="app").id, "start_time": root.start_time}
    c.add_runs_to_annotation_queue(queue.id, runs=[{"run_id": root.id, **key}])
    assert c.get_run_from_annotation_queue(queue.id, index=0).id == root.id
    c.delete_run_from_annotation_queue(queue.id, run_id=root.id)
    assert list(c.list_runs_from_annotation_queue(queue.id)) == []
    assert [each.id for each in c.list_annotation_queues()] == [queue.id]
    c.delete_annotation_queue(queue.id)


async def test_each_method_works_or_is_known_not_to(client, tmp_path):
    noting = Noting(client)
    root = use_runs(noting)
    await use_projects(noting)
    dataset = use_datasets(noting, tmp_path)
    use_examples(noting, dataset, root)
    await use_experiments(noting, dataset)
    await use_feedback(noting, root)
    use_queues(noting, root)
    methods = {
        name
        for name, member in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_")
    }
    assert not noting.called & REFUSED.keys()
    assert methods - noting.called - NO_REQUEST == REFUSED.keys()


@pytest.mark.parametrize("name", [name for name, given in REFUSED.items() if given is not None])
def test_what_is_not_there_says_so(client, name):
    given = REFUSED[name]
    arguments = inspect.signature(getattr(client, name)).bind(
        *([] if isinstance(given, dict) else given), **(given if isinstance(given, dict) else {})
    )

    def ask():
        return list(getattr(client, name)(*arguments.args, **arguments.kwargs))

    with pytest.raises(LangSmithError, match=NO_SUCH_THING) as refused:
        ask()
    assert "500 Server Error" not in str(refused.value)


def test_what_asks_whether_something_is_there_is_told_no(client):
    assert client.get_prompt("p") is None
    assert not client.agent_exists("a/b")
    assert not client.skill_exists("a/b")


def test_no_client_finds_this_store_too_old(client, caplog):
    for name in ("annotation_queues", "datasets", "evaluators", "runs", "sessions", "threads"):
        assert getattr(client, name) is not None
    assert client.info.version == "0.18.0"
    assert not [record for record in caplog.records if "version" in record.getMessage()]
    # Behind `client.sessions.resolve`.
    with pytest.raises(LangSmithNotFoundError, match="no registry of agents"):
        client.request_with_retries("GET", "/sessions/resolutions", params={"kind": "AGENT"})
