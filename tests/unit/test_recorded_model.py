"""A recording answers in place of the model; what is trained on is none of its held-out part."""

import datetime as dt
import hashlib
import json
from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from openai import UnprocessableEntityError
from pydantic import BaseModel

from langchain_finetune import Convert, FineTuningError, record, recorded_model
from langchain_finetune.migration.comparing import (
    as_in_traffic,
    comparison_key,
    kept_comparison,
    odd_evaluators,
)
from langchain_finetune.migration.folders import locked_folder
from langchain_finetune.migration.state import MigrationState
from langchain_finetune.migration.training_data import training_data
from tests.support.comparisons import comparison, difference
from tests.support.openai_account import KEY, TOOLS, OpenAIAccount, openai_account

FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "Sum",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"total": {"type": "integer"}},
            "required": ["total"],
            "additionalProperties": False,
        },
    },
}


class Sum(BaseModel):
    """A sum."""

    total: int


def chat(number, *before, **settings):
    """A traced chat of a thread of two."""
    return {
        "messages": [*before, HumanMessage(f"What is {number} plus 1?"), AIMessage("?")],
        "source": {"run_id": f"r{number}", "thread_id": f"t{number // 2}"},
        **settings,
    }


def reply(body, *_):
    asked = body["messages"][-1]["content"]
    if body.get("response_format"):
        return {"role": "assistant", "content": '{"total": 7}', "refusal": None}
    if body.get("tools"):
        function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
        calls = [{"id": f"c{n}", "type": "function", "function": function} for n in range(2)]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    return {"role": "assistant", "content": f"Answered: {asked}", "refusal": None}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a function that records chats; each set of them once."""
    account = OpenAIAccount(models=1)
    account.reply = reply
    with openai_account(account) as url:

        def made(*chats, **settings):
            given = {"base_url": url, "api_key": KEY, "answers": 0, "confirm": lambda _: True}
            out = tmp_path_factory.mktemp("recorded") / "out"
            return record(account.names[0], [list(chats)], out=out, **{**given, **settings})

        yield made


@pytest.fixture(scope="module")
def recording(recorded):
    return recorded(
        chat(1),
        chat(2, tools=TOOLS),
        chat(3, response_format=FORMAT),
        chat(4, SystemMessage("Be short."), sampling={"temperature": 0.7}),
    )


@pytest.fixture(scope="module")
def model(recording):
    return recorded_model(recording)


def test_it_answers_what_was_recorded_and_sends_nothing(recording, model):
    assert model.model_name == recording.manifest.model
    answer = model.invoke("What is 1 plus 1?")
    assert answer.content == "Answered: What is 1 plus 1?"
    assert answer.usage_metadata["input_tokens"] > 0
    asked = [SystemMessage("Be short."), HumanMessage("What is 4 plus 1?")]
    assert model.invoke(asked, temperature=0.2).content == "Answered: What is 4 plus 1?"


async def test_async_and_streamed_answers_are_the_same(model):
    assert (await model.ainvoke("What is 1 plus 1?")).content == "Answered: What is 1 plus 1?"
    chunks = list(model.stream("What is 1 plus 1?"))
    assert "".join(chunk.content for chunk in chunks) == "Answered: What is 1 plus 1?"
    assert any(chunk.usage_metadata for chunk in chunks)
    whole = None
    async for chunk in model.bind_tools(TOOLS).astream("What is 2 plus 1?"):
        whole = chunk if whole is None else whole + chunk
    assert [call["args"] for call in whole.tool_calls] == [{"a": 1, "b": 2}] * 2


def test_tools_and_structured_output(model):
    calls = model.bind_tools(TOOLS).invoke("What is 2 plus 1?").tool_calls
    assert [call["name"] for call in calls] == ["add", "add"]
    found = model.with_structured_output(Sum, method="json_schema").invoke("What is 3 plus 1?")
    assert found == Sum(total=7)


@pytest.mark.parametrize("asked", ["What is 99 plus 1?", "What is 2 plus 1?"])
async def test_what_was_not_recorded_is_an_error(model, asked):
    """The second one was recorded with tools."""
    with pytest.raises(UnprocessableEntityError, match="no answer to this request"):
        model.invoke(asked)
    with pytest.raises(UnprocessableEntityError, match="no answer"):
        await model.ainvoke(asked)
    with pytest.raises(UnprocessableEntityError):
        list(model.stream(asked))


def test_the_same_words_with_another_tool_choice_are_another_request(recorded):
    forced = {"tool_choice": {"type": "function", "function": {"name": "add"}}}
    recording = recorded(chat(1, tools=TOOLS), chat(1, tools=TOOLS, sampling=forced))
    assert recording.manifest.prompts == 2
    model = recorded_model(recording).bind_tools(TOOLS)
    assert model.invoke("What is 1 plus 1?").tool_calls
    assert model.bind(**forced).invoke("What is 1 plus 1?").tool_calls
    with pytest.raises(UnprocessableEntityError):
        model.bind(tool_choice="required").invoke("What is 1 plus 1?")


def test_the_new_model_is_bound_to_the_tool_choice_of_the_traffic(recorded, model):
    forced = {"tool_choice": "required"}
    all_forced = recorded(*(chat(n, tools=TOOLS, sampling=forced) for n in range(8)))
    bound, notes = as_in_traffic(model, all_forced)
    assert (bound.kwargs, notes) == (forced, [])
    mixed = recorded(
        *(chat(n, tools=TOOLS, sampling=forced if n % 4 < 2 else {}) for n in range(8)),
        held_out=0.99,
    )
    unbound, notes = as_in_traffic(model, mixed)
    assert unbound is model
    assert "differ in tool_choice" in notes[0]
    assert as_in_traffic(model, recorded(*map(chat, range(4)))) == (model, [])
    stopped = recorded(*(chat(n, sampling={"stop": ["es"]}) for n in range(4)))
    assert as_in_traffic(model, stopped)[0].kwargs == {"stop": ["es"]}


def test_no_chat_with_a_held_out_request_is_trained_on(recorded, tmp_path):
    """Not as a line, nor as an earlier turn of a longer one, nor with other tools."""
    recording = recorded(*map(chat, range(20)), held_out=0.5)
    held_out = next(prompt for prompt in recording.prompts() if prompt.held_out)
    asked = held_out.request["messages"]
    text = asked[0]["content"]
    answered = {"role": "assistant", "content": "2", "reasoning_content": "Hm."}
    later = [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "3"}]
    other = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    lines = [
        {"messages": [*asked, answered]},
        {"messages": [*asked, answered, *later]},
        {"messages": [*asked, answered], "tools": TOOLS},
        {"messages": [{**asked[0], "name": "ann", "content": f"{text.upper()} "}, answered]},
        {"messages": other},
    ]
    model = recording.manifest.model
    folder = rescued(tmp_path, model, lines)
    data = training_data(model, folder, recording, "auto")
    assert (data.origin, data.described) == ("files", "the rescued training file")
    examples = Convert().invoke(data.sessions())
    assert [each["messages"] for each in examples] == [other]
    assert examples.rejected_by_reason() == {"held_out": 4}
    assert data.gaps() == ""
    both = training_data(model, folder, recording, "both")
    assert len(list(both.sessions())) == 11
    only = training_data(model, folder, recording, "recording")
    assert [each["source"].keys() >= {"thread_id"} for each in only.sessions()] == [True] * 10


def test_tools_of_the_app_that_no_example_has_are_told(recorded, tmp_path):
    recording = recorded(*(chat(n, tools=TOOLS) for n in range(8)), held_out=0.5)
    line = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    folder = rescued(tmp_path, recording.manifest.model, [{"messages": line}])
    data = training_data(recording.manifest.model, folder, recording, "auto")
    assert "4 of 4 held-out requests offer tools that no training chat has" in data.gaps()
    assert training_data(recording.manifest.model, folder, recording, "both").gaps() == ""


def rescued(folder, name, lines, *, model=None, **changes):
    """The folder of a rescue with a training file."""
    (folder / "model").mkdir(exist_ok=True)
    content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    (folder / "model" / "training.jsonl").write_bytes(content)
    now = dt.datetime.now(dt.UTC).isoformat()
    digest = hashlib.sha256(content).hexdigest()
    kept = {"sha256": digest, "size": len(content), "fetched_at": now}
    entry = {
        "model": {"name": name, "method": "supervised", "training_file": "file-1"},
        "folder": "model",
        "files": {"training.jsonl": kept},
    }
    manifest = {"engine": "openai", "base_url": "http://x", "started_at": now, "updated_at": now}
    entry["model"] |= model or {}
    (folder / "manifest.json").write_text(
        json.dumps({**manifest, "models": {name: {**entry, **changes}}})
    )
    return folder


def test_why_a_file_is_not_trained_on_is_told(recording, tmp_path):
    model = recording.manifest.model

    def described(folder):
        with pytest.raises(FineTuningError, match="can't be trained on 'files'"):
            training_data(model, folder, recording, "files")
        return training_data(model, folder, recording, "auto").described

    assert "lists no training file" in described(tmp_path / "none")
    dpo = rescued(tmp_path, model, [], model={"method": "dpo"})
    assert "its training file is for dpo" in described(dpo)
    gone = {
        "what": "training file",
        "state": "gone",
        "reason": "No such file",
        "since": "2026-11-01",
    }
    lost = rescued(tmp_path, model, [], files={}, missing=[{**gone, "since": "2026-11-01T00:00Z"}])
    assert described(lost) == "the recorded answers (its training file is gone)"


def evaluator(outputs):
    return bool(outputs)


def test_a_comparison_is_kept_only_if_it_would_be_the_same(recording, tmp_path):
    new = "new"
    key = comparison_key(recording, new, {}, [None, evaluator])
    assert key == comparison_key(recording, new, {}, [None, evaluator])
    assert key != comparison_key(recording, new, {"temperature": 0.5}, [None, evaluator])
    assert key != comparison_key(recording, new, {}, [None])
    path = tmp_path / "comparison.json"
    assert kept_comparison(path, key, key) is None
    path.write_text("damaged")
    assert kept_comparison(path, key, key) is None
    for changing in (lambda outputs: not outputs, SimpleNamespace(), rescued.__get__(1)):
        unknown = comparison_key(recording, new, {}, [None, changing])
        assert "functions" not in unknown
        assert kept_comparison(path, unknown, unknown) is None


def test_an_evaluator_that_finds_no_agreement_of_the_old_model_with_itself_is_told():
    found = [difference("team", old=0.64), difference("same", old=1.0), difference("words", old=7)]
    none = difference("empty", old=0.0, cases=0)
    [note] = odd_evaluators(comparison(differences=[*found, none]))
    assert note.startswith("team: the old model scores 0.640")


def test_the_state_is_private_and_of_one_migration(tmp_path):
    wanted = {"engine": "openai", "target_engine": "local", "target_base": "nano"}
    state = MigrationState(model="ft:a", base_url=None, **wanted)
    out = tmp_path / "deep" / "out"
    with locked_folder(out, "migrating in"):
        first = state.done("rescue", out, "4 files", files=["job.json"])
        assert state.done("rescue", out, "4 files", files=["job.json"]) == first
        assert state.done("rescue", out, "5 files").done_at > first.done_at
        with (
            pytest.raises(FineTuningError, match="Another process"),
            locked_folder(out, "migrating in"),
        ):
            pass
    assert (out / "migration.json").stat().st_mode & 0o777 == 0o600
    assert out.stat().st_mode & 0o777 == 0o700
    assert MigrationState.opened(out, state).steps == state.steps
    other = MigrationState(model="ft:b", base_url="http://x/v1", **wanted)
    with pytest.raises(FineTuningError, match=r"another folder for ft:b at openai .http://x/v1."):
        MigrationState.opened(out, other)
    (out / "migration.json").write_text("{}")
    with pytest.raises(FineTuningError, match="damaged"):
        MigrationState.opened(out, state)
