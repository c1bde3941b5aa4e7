"""Reading runs with both of LangSmith's APIs."""

import datetime as dt
from uuid import UUID, uuid4

import httpx
import pytest
from langsmith import Client
from langsmith.utils import LangSmithError, LangSmithNotFoundError

pytestmark = [
    pytest.mark.filterwarnings("ignore:(list_runs|read_run).. is deprecated"),
    pytest.mark.filterwarnings("ignore:The child_run_ids field"),
]

START = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
EVERYTHING = ["ID", "NAME", "RUN_TYPE", "STATUS", "START_TIME", "END_TIME", "INPUTS", "OUTPUTS"]
EVERYTHING += ["EXTRA", "METADATA", "MANIFEST", "ERROR", "TAGS", "EVENTS", "PARENT_RUN_IDS"]
EVERYTHING += ["PROJECT_ID", "TRACE_ID", "DOTTED_ORDER", "IS_ROOT", "FEEDBACK_STATS"]
EVERYTHING += ["LATENCY_SECONDS", "TOTAL_TOKENS", "TOTAL_COST", "THREAD_ID"]


def uid(number):
    return str(UUID(int=number))


def write(server, count, project="app", **fields):
    """Runs number 1 to `count`, one a minute; the odd ones are roots of the even ones."""
    runs = []
    for number in range(1, count + 1):
        start = START + dt.timedelta(minutes=number)
        root = number - 1 + number % 2
        parent = {} if number == root else {"parent_run_id": uid(root)}
        runs.append(
            {
                "id": uid(number),
                "trace_id": uid(root),
                "name": f"run {number}",
                "run_type": "chain" if number == root else "llm",
                "start_time": start.isoformat(),
                "end_time": (start + dt.timedelta(seconds=2)).isoformat(),
                "inputs": {"number": number},
                "outputs": {"double": 2 * number},
                "serialized": {"lc": 1},
                "extra": {"metadata": {"thread_id": "t"}},
                "session_name": project,
                **parent,
                **fields,
            }
        )
    answer = httpx.post(f"{server.url}/runs/batch", json={"post": runs})
    assert answer.status_code == 202


def numbers(runs):
    return [UUID(str(run.id)).int for run in runs]


def test_list_runs_reads_page_after_page(server, client):
    write(server, 230)
    assert numbers(client.list_runs(project_name="app")) == list(range(230, 0, -1))
    asked = [path for method, path, _ in server.asked if path == "/runs/query"]
    assert len(asked) == 3
    assert numbers(client.list_runs(project_name="app", limit=3)) == [230, 229, 228]
    oldest = client.list_runs(project_name="app", order="asc", run_type="llm", limit=2)
    assert numbers(oldest) == [2, 4]


def test_runs_of_one_moment_are_neither_lost_nor_repeated(server, client):
    write(server, 150, start_time=START.isoformat())
    assert sorted(numbers(client.list_runs(project_name="app"))) == list(range(1, 151))


def test_the_walkthrough_of_2023_still_reads_root_runs(server, client):
    write(server, 4)
    runs = client.list_runs(project_name="app", execution_order=1, error=False)
    assert numbers(runs) == [3, 1]


def test_conditions_of_the_old_api(server, client):
    write(server, 6)
    write(server, 0, project="other")

    def found(**query):
        return numbers(client.list_runs(**query))

    assert found(run_ids=[uid(2), uid(5)]) == [5, 2]
    assert found(id=[uid(2), uid(5)], run_type="llm") == [2]
    assert found(trace_id=uid(3)) == [4, 3]
    assert found(parent_run_id=uid(3)) == [4]
    later = START + dt.timedelta(minutes=5)
    assert found(project_name="app", start_time=later) == [6, 5]
    assert found(project_name="app", start_time=later.replace(tzinfo=None)) == [6, 5]
    assert found(project_name="app", query="RUN 4") == [4]
    assert found(project_name="app", is_root=False) == [6, 4, 2]
    assert found(project_name=["app", "default"], limit=1) == [6]


def test_select_leaves_fields_out_and_the_rest_is_whole(server, client):
    write(server, 1)
    (run,) = client.list_runs(project_name="app", select=["inputs"])
    assert run.inputs == {"number": 1}
    assert run.outputs is None
    assert run.name == "run 1"
    (run,) = client.list_runs(project_name="app")
    assert run.serialized is None
    assert client.read_run(uid(1)).serialized == {"lc": 1}
    assert client.read_run(uid(1)).outputs == {"double": 2}


def test_an_unknown_project_or_run_is_not_found(server, client):
    with pytest.raises(LangSmithNotFoundError):
        list(client.list_runs(project_name="nope"))
    with pytest.raises(LangSmithNotFoundError):
        client.read_run(uid(1))
    assert not client.has_project("nope")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "At least one of"),
        ({"session": [uid(1)], "limit": 101}, "limit"),
        ({"session": [uid(1)], "cursor": "x"}, "cursor"),
        ({"session": ["app"]}, "session.0"),
        ({"session": [uid(1)], "colour": "red"}, "colour"),
        ({"session": [uid(1)], "filter": "eq(name"}, "malformed"),
        ({"session": [uid(1)], "tree_filter": 'eq(colour, "red")'}, "'colour'"),
        ({"session": [uid(1)], "execution_order": 2}, "execution_order"),
        ([], "body"),
    ],
)
def test_a_malformed_query_is_refused_with_one_sentence(server, body, message):
    answer = httpx.post(f"{server.url}/runs/query", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_the_client_shows_the_sentence(server, client):
    write(server, 1)
    with pytest.raises(LangSmithError, match="There is no field"):
        list(client.list_runs(project_name="app", filter='eq(colour, "red")'))


@pytest.fixture
async def new_api(server):
    client = Client(api_url=server.url, api_key="key")
    yield client.runs
    await client._get_langsmith_api().close()
    client.close()


async def test_the_new_api_queries_page_after_page(server, new_api):
    write(server, 230)
    project = server.store.projects.ensure("app")
    asked = {"project_ids": [project], "min_start_time": START}
    found = [run async for run in new_api.query(**asked)]
    assert numbers(found) == list(range(230, 0, -1))
    assert found[0].inputs is None
    paths = [path for _, path, _ in server.asked if path == "/api/v2/runs/query"]
    assert len(paths) == 3
    (page,) = [page async for page in (await new_api.query(**asked, page_size=1000)).iter_pages()]
    assert len(page.items) == 230


async def test_the_new_api_shows_a_run_in_its_own_shape(server, new_api):
    write(server, 2)
    project = server.store.projects.ensure("app")
    server.store.feedback.add([{"run_id": uid(2), "key": "user_score", "score": 0.5}])
    asked = {"project_ids": [project], "min_start_time": START, "selects": EVERYTHING}
    (run,) = [run async for run in new_api.query(**asked, run_type="LLM")]
    assert (run.run_type, run.status, run.is_root) == ("LLM", "SUCCESS", False)
    assert run.project_id == project
    assert run.inputs == {"number": 2}
    assert run.manifest == {"lc": 1}
    assert run.metadata == run.extra["metadata"] == {"thread_id": "t"}
    assert run.thread_id == "t"
    assert run.latency_seconds == 2
    assert run.feedback_stats["user_score"].avg == 0.5
    assert run.total_cost is None
    same = await new_api.retrieve(uid(2), project_id=project, selects=EVERYTHING)
    assert same == run


async def test_conditions_of_the_new_api(server, new_api):
    write(server, 6)
    project = server.store.projects.ensure("app")

    async def found(**query):
        query = {"project_ids": [project], "min_start_time": START, **query}
        return numbers([run async for run in new_api.query(**query)])

    assert await found(is_root=True) == [5, 3, 1]
    assert await found(ids=[uid(2)]) == [2]
    assert await found(trace_id=uid(3)) == [4, 3]
    assert await found(has_error=True) == []
    assert await found(max_start_time=START + dt.timedelta(minutes=2)) == [2, 1]
    assert await found(filter='eq(name, "run 4")') == [4]
    assert await found(trace_filter='eq(name, "run 3")', run_type="LLM") == [4]
    assert await found(tree_filter='eq(name, "run 6")') == [6, 5]
    assert await found(project_ids=[str(uuid4())]) == []


async def test_the_new_api_looks_one_day_back_unless_told(server, new_api):
    project = server.store.projects.ensure("app")
    now = dt.datetime.now(dt.UTC)
    write(server, 1, start_time=(now - dt.timedelta(hours=25)).isoformat())
    assert [run async for run in new_api.query(project_ids=[project])] == []
    asked = {"project_ids": [project], "min_start_time": now - dt.timedelta(days=2)}
    assert numbers([run async for run in new_api.query(**asked)]) == [1]


async def test_the_new_api_refuses_what_it_does_not_know(server, new_api):
    from langsmith import BadRequestError, NotFoundError

    with pytest.raises(BadRequestError, match="ai_search"):
        await new_api.query(project_ids=[uid(1)], ai_search="angry users")
    with pytest.raises(BadRequestError, match="page_size"):
        await new_api.query(project_ids=[uid(1)], page_size=1001)
    with pytest.raises(BadRequestError, match="project_ids"):
        await new_api.query()
    write(server, 1)
    with pytest.raises(NotFoundError):
        await new_api.retrieve(uid(1), project_id=uid(7))


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1", "/v1"])
async def test_every_endpoint_that_users_set_works(server, connecting, prefix):
    write(server, 2)
    with connecting(server.url + prefix) as client:
        assert client.info.batch_ingest_config["use_multipart_endpoint"]
        assert numbers(client.list_runs(project_name="app")) == [2, 1]
        project = client.read_project(project_name="app")
        asked = {"project_ids": [str(project.id)], "min_start_time": START}
        assert numbers([run async for run in client.runs.query(**asked)]) == [2, 1]
        dataset = client.create_dataset("tea")
        client.create_examples(dataset_id=dataset.id, examples=[{"inputs": {"a": 1}}])
        assert [example.inputs for example in client.list_examples(dataset.id)] == [{"a": 1}]
        await client._get_langsmith_api().close()


def test_projects(server, client):
    made = client.create_project("tea", description="All teas", metadata={"a": 1})
    assert client.read_project(project_id=made.id).description == "All teas"
    assert client.create_project("tea", upsert=True).id == made.id
    with pytest.raises(LangSmithError, match="already"):
        client.create_project("tea")
    assert {project.name for project in client.list_projects()} == {"default", "tea"}
    assert [project.name for project in client.list_projects(name_contains="TE")] == ["tea"]
    write(server, 2, project="tea")
    client.delete_project(project_name="tea")
    assert not client.has_project("tea")
    with pytest.raises(LangSmithNotFoundError):
        client.read_run(uid(1))


def test_what_the_store_does_not_have_is_not_found(server):
    for path in ("/prompts", "/runs/stats", "/v1/models", "/v1/files"):
        assert httpx.get(server.url + path).status_code in {400, 404}, path
    assert httpx.get(server.url + "/sessions?colour=red").status_code == 400
    assert "langchain_finetune" in httpx.get(server.url + "/info").json()


def test_all_is_there_after_a_restart(tmp_path, serving, connecting):
    path = tmp_path / "runs.sqlite"
    with serving(path) as server, connecting(server.url) as client:
        write(server, 2)
        server.store.feedback.add([{"run_id": uid(1), "key": "user_score", "score": 1}])
        dataset = client.create_dataset("tea")
        client.create_examples(dataset_id=dataset.id, examples=[{"inputs": {"a": 1}}])
    with serving(path) as server, connecting(server.url) as client:
        runs = list(client.list_runs(project_name="app", filter='eq(feedback_key, "user_score")'))
        assert numbers(runs) == [1]
        assert [example.inputs for example in client.list_examples(dataset.id)] == [{"a": 1}]
