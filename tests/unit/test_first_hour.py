"""What a new user trips over in Python, and what is said then."""

import json
import socket
import warnings
from pathlib import Path
from typing import TypedDict

import openai
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langsmith.env import get_langchain_env_var_metadata
from pydantic import BaseModel, SecretStr, ValidationError

import docs_hook
from langchain_finetune import (
    Compare,
    Convert,
    ConvertError,
    FineTune,
    FineTuningError,
    Hyperparameters,
    InferencePrice,
    InvalidArgumentError,
    LangSmithRunChatLoader,
    LangSmithThreadChatLoader,
    LoadError,
    LossCurve,
    MapSpeaker,
    RolloutChatModel,
    RunFileChatLoader,
    RunQuery,
    RunRecorder,
    Split,
    check_file,
)
from langchain_finetune.convert.contract import TrainedContract, fingerprint
from langchain_finetune.errors import TrainedContractWarning
from langchain_finetune.finetune.contract import ContractWatch
from langchain_finetune.home import HOME_VARIABLE, KEY_VARIABLE, home_path

CHAT = {"messages": [HumanMessage("Is 1 odd?"), AIMessage("Yes")]}


def test_counts_before_an_iteration_are_no_empty_success():
    examples = Convert().invoke([CHAT, {"messages": [HumanMessage("Hi")]}])
    for ask in (
        examples.rejected_by_reason,
        lambda: examples.notes,
        lambda: examples.findings,
        lambda: examples.rejected,
    ):
        with pytest.raises(ConvertError, match="Nothing was read yet"):
            ask()
    assert len(list(examples)) == 1
    assert sum(examples.rejected_by_reason().values()) == 1


def test_skips_of_a_loader_before_an_iteration_are_no_empty_success(tmp_path):
    (tmp_path / "runs.jsonl").write_text('{"messages": []}\n')
    sessions = RunFileChatLoader(tmp_path / "runs.jsonl").invoke({})
    for ask in (sessions.skipped_by_reason, lambda: sessions.skipped, lambda: sessions.notes):
        with pytest.raises(LoadError, match="Nothing was read yet"):
            ask()
    assert list(sessions) == []
    assert sum(sessions.skipped_by_reason().values()) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FineTune(modle="nano"), "FineTune has no argument 'modle'; did you mean 'model'?"),
        (lambda: Convert(targts="last"), "Convert has no argument 'targts'; did you mean 'targ"),
        (lambda: Compare(evaluatrs=[]), "Compare has no argument 'evaluatrs'; did you mean 'eval"),
        (lambda: Split(tset=0.1), "Split has no argument 'tset'; did you mean 'test'?"),
        (
            lambda: LangSmithRunChatLoader(projct_name="app"),
            "LangSmithRunChatLoader has no argument 'projct_name'; did you mean 'project_name'?",
        ),
        (lambda: LangSmithThreadChatLoader(feedbak="x"), "did you mean 'feedback'?"),
        (lambda: RunFileChatLoader("x", scroe="a"), "did you mean 'score'?"),
        (lambda: RunQuery(tagz="a"), "RunQuery has no argument 'tagz'; did you mean 'tags'?"),
        (lambda: Hyperparameters(epochs=3), "did you mean 'n_epochs'?"),
        (lambda: MapSpeaker("Ada", sendr="x"), "did you mean 'sender'?"),
        (
            lambda: FineTune(model="m", hyperparameters={"n_epoch": 3}),
            "hyperparameters has no argument 'n_epoch'; did you mean 'n_epochs'?",
        ),
        (
            lambda: FineTune(model="m", hyperparameters={"n_epochs": 0}),
            "hyperparameters.n_epochs must be at least 1.",
        ),
        (lambda: RolloutChatModel(shre=0.1), "no argument 'shre'; did you mean 'share'?"),
        (lambda: InferencePrice(input=0.1), "no argument 'input'; did you mean 'input_usd'?"),
        (lambda: FineTune(engine="local"), "FineTune needs the argument 'model'."),
        (lambda: FineTune(model="m", engine="azur"), "There is no engine 'azur'; there are "),
        (lambda: RunFileChatLoader("x").invoke({"paht": "y"}), "RunFileChatLoader has no setting"),
        (lambda: LangSmithRunChatLoader().invoke({"projct_name": "x"}), "did you mean 'project_n"),
    ],
)
def test_a_wrong_argument_is_one_sentence_with_the_nearest_name(make, said):
    with pytest.raises(FineTuningError) as caught:
        list(make() or ())
    told = str(caught.value)
    assert said in told
    assert "\n" not in told
    assert "pydantic" not in told


def test_a_wrong_argument_is_a_value_error_with_its_cause():
    with pytest.raises(ValueError) as caught:
        FineTune(model="m", seed="many")
    assert isinstance(caught.value, InvalidArgumentError)
    assert isinstance(caught.value.__cause__, ValidationError)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    RunRecorder("~/runs/app.jsonl").close()
    assert (tmp_path / "runs" / "app.jsonl").exists()
    file = Convert().invoke([CHAT] * 3).write_jsonl("~/train.jsonl")
    assert file.path == tmp_path / "train.jsonl"
    assert check_file("~/train.jsonl").examples == 3
    assert len(list(RunFileChatLoader("~/train.jsonl").lazy_load())) == 3
    Convert().invoke([CHAT]).report().to_html("~/report.html")
    LossCurve([{"step": 1.0, "train_loss": 1.0}]).save("~/loss.png")
    assert {"report.html", "loss.png"} < {path.name for path in tmp_path.iterdir()}
    assert not Path("~").exists()


def test_a_speaker_who_does_not_speak_is_told_with_those_who_do():
    chat = {
        "messages": [
            HumanMessage("Hi", additional_kwargs={"sender": "Ada"}),
            HumanMessage("Hello", additional_kwargs={"sender": "Bob"}),
        ]
    }
    with pytest.raises(LoadError, match="Nobody called 'Adda' speaks; there are 'Ada', 'Bob'"):
        list(MapSpeaker("Adda").invoke([chat, chat]))
    assert len(list(MapSpeaker("Ada").invoke([chat, chat]))) == 2
    assert list(MapSpeaker("Ada").invoke([])) == []


def tool(name, **more):
    return {"type": "function", "function": {"name": name, **more}}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "is called without tools, but was trained with add, mul"),
        ({"tools": [tool("add", description="Adds.")]}, "missing: mul"),
        ({"tools": [tool("add", description="Sums."), tool("mul")]}, "changed: add (description)"),
        (
            {
                "tools": [
                    tool("add", description="Adds."),
                    tool("mul", parameters={"properties": {"a": {"type": "number"}}}),
                ]
            },
            "changed: mul (parameter a)",
        ),
        ({"tools": []}, None),
        ({"tools": [tool("add", description="Adds."), tool("mul")], "tool_choice": "none"}, None),
        ({"response_format": {"type": "json_object"}}, None),
        ({"tools": [tool("add", description="Adds."), tool("mul")]}, None),
    ],
)
def test_the_contract_warning_says_what_differs(request_, said):
    trained = [tool("add", description="Adds."), tool("mul")]
    contract = TrainedContract(examples=10, tools=trained, tool_lists={fingerprint(trained)})
    watch = ContractWatch(contract, "ft:nano")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        watch.on_chat_model_start({}, [], invocation_params=request_)
    assert [each.category for each in told] == ([TrainedContractWarning] if said else [])
    assert said is None or said in str(told[0].message)


def test_a_schema_that_no_training_had_is_told(tmp_path):
    schema = {"type": "json_schema", "json_schema": {"name": "Note", "schema": {}}}
    for formats, told in ((0, 1), (3, 0), (None, 0)):
        contract = TrainedContract(examples=10, formats=formats)
        watch = ContractWatch(contract, "ft:nano")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                watch.on_chat_model_start({}, [], invocation_params={"response_format": schema})
        assert len(caught) == told
        assert all('method="function_calling"' in str(each.message) for each in caught)


class Mood(BaseModel):
    """How a text sounds."""

    mood: str


class MoodDict(TypedDict):
    """How a text sounds."""

    mood: str


@pytest.mark.parametrize(
    ("schema", "settings", "told"),
    [
        (Mood, {}, 1),
        (Mood, {"method": "json_schema"}, 1),
        (Mood, {"strict": True}, 1),
        (MoodDict, {}, 1),
        ({"title": "Mood", **Mood.model_json_schema()}, {}, 1),
        (Mood, {"method": "function_calling"}, 0),
        (Mood, {"method": "json_mode"}, 0),
    ],
)
def test_a_class_as_schema_is_told_like_a_schema(schema, settings, told):
    watch = ContractWatch(TrainedContract(examples=10, formats=0), "ft:nano")
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    model = ChatOpenAI(
        model="nano", base_url=nobody, api_key=SecretStr("-"), max_retries=0, callbacks=[watch]
    )
    asks = model.with_structured_output(schema, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            with pytest.raises(openai.APIConnectionError):
                asks.invoke("Fine, thanks.")
    found = [each for each in caught if each.category is TrainedContractWarning]
    assert len(found) == told


def test_no_variable_of_the_package_travels_into_traces(monkeypatch, tmp_path):
    names = [name for name in docs_hook.variables() if name.startswith("LCFT_")]
    assert {HOME_VARIABLE, KEY_VARIABLE, "LCFT_ALIASES", "LCFT_UPSTREAM"} < {*names}
    for name in names:
        monkeypatch.setenv(name, "private")
    recorder = RunRecorder(tmp_path / "runs.jsonl")
    GenericFakeChatModel(messages=iter([AIMessage("Hi")])).invoke("Hi", {"callbacks": [recorder]})
    recorder.close()
    assert "private" not in json.dumps(get_langchain_env_var_metadata())
    assert "private" not in (tmp_path / "runs.jsonl").read_text()


def test_a_variable_by_its_old_name_is_refused_with_the_new_one(monkeypatch):
    monkeypatch.setenv("LANGCHAIN_FINETUNE_HOME", "/somewhere")
    with pytest.raises(FineTuningError, match="LANGCHAIN_FINETUNE_HOME is called LCFT_HOME now"):
        home_path()
