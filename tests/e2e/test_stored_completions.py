"""Chat completions that OpenAI stored become the chats that the model saw."""

import datetime as dt
from contextlib import suppress

import pytest
from openai import OpenAI

from langchain_finetune import (
    Convert,
    InvalidArgumentError,
    LoadError,
    StoredCompletionsChatLoader,
)
from support.openai_account import KEY, OpenAIAccount, openai_account
from support.runs import TOOL, WIRE_ANSWER, WIRE_SENT

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def loader():
    account = OpenAIAccount(0)
    for hour, (name, tools) in enumerate([("gpt-4.1", [TOOL]), ("gpt-4.1", None), ("o3", None)]):
        answer = WIRE_ANSWER if tools else {"role": "assistant", "content": f"Room {hour}."}
        metadata = {"app": "hotel", "hour": str(hour)}
        created = int((NOON + dt.timedelta(hours=hour)).timestamp())
        account.store(name, WIRE_SENT, answer, created, tools, metadata)
    with openai_account(account) as url, OpenAI(base_url=url, api_key=KEY) as client:
        yield StoredCompletionsChatLoader(client=client)


def test_lines_are_what_the_model_saw(loader):
    lines = list((loader | Convert()).invoke({}))
    assert lines[2] == {"messages": [*WIRE_SENT, WIRE_ANSWER], "tools": [TOOL]}
    told = [line["messages"][-1]["content"] for line in lines]
    assert told == ["Room 2.", "Room 1.", None]


@pytest.mark.parametrize(
    ("condition", "hours"),
    [
        ({"model": "o3"}, [2]),
        ({"tags": "hour=1"}, [1]),
        ({"tags": ["app", "app=hotel"]}, [2, 1, 0]),
        ({"start_time": NOON + dt.timedelta(hours=1)}, [2, 1]),
        ({"end_time": NOON + dt.timedelta(hours=1)}, [0]),
        ({"limit": 2}, [2, 1]),
        ({"where": lambda run: run["inputs"]["model"] == "gpt-4.1"}, [1, 0]),
    ],
)
def test_conditions_select(loader, condition, hours):
    found = loader.invoke(condition)
    assert [session["source"]["run_id"] for session in found] == [
        f"chatcmpl-{hour:05}" for hour in hours
    ]


def test_its_own_client_is_closed_however_it_ends(loader, monkeypatch):
    ended, close = [], OpenAI.close

    def noted(client):
        ended.append(client)
        close(client)

    monkeypatch.setattr(OpenAI, "close", noted)
    monkeypatch.setenv("OPENAI_BASE_URL", str(loader.client.base_url))
    for key, wanted in ((KEY, 1), ("wrong-key", 0)):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with suppress(LoadError):
            assert len(list(StoredCompletionsChatLoader(limit=1).invoke({}))) == wanted
    assert len(ended) == 2
    assert len(list(loader.invoke({"limit": 1}))) == 1
    assert len(ended) == 2


def test_faults_are_told(loader):
    with pytest.raises(InvalidArgumentError, match="OpenAI keeps no feedback"):
        StoredCompletionsChatLoader(feedback={"key": "user_score"})
    with (
        OpenAI(base_url=loader.client.base_url, api_key="wrong-key", max_retries=0) as client,
        pytest.raises(LoadError, match=r"OpenAI can't be read: HTTP 401\.") as raised,
    ):
        list(loader.invoke({"client": client}))
    assert "wrong-key" not in str(raised.value)
