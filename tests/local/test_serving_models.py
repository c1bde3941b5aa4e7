"""Models that come and go, ChatOpenAI, and the parts of transformers that are leant on."""

import inspect
import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from langchain_finetune.local.serving.answer import Text
from langchain_finetune.local.serving.stream import TextFilter
from tests.local.chat_server import ChatServer
from tests.local.conftest import until
from tests.local.test_training import finish, start
from tests.local.tiny_model import CALCULATOR, make_tiny_model

ARGUMENTS = '{"first": 5, "operation": "add", "second": 8}'
CALL = f'<tool_call>\n{{"name": "calculator", "arguments": {ARGUMENTS}}}\n</tool_call><|im_end|>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def server(folder):
    with ChatServer(tiny=folder).running() as server:
        yield server


def body(model="tiny", **fields):
    return {"model": model, "messages": [{"role": "user", "content": "hi"}]} | fields


def test_chat_openai(server, script):
    model = ChatOpenAI(model="tiny", base_url=server.url, api_key="none", max_retries=0)
    calculator = model.bind_tools([CALCULATOR])
    question = HumanMessage("5 plus 8?")
    script.text = CALL
    answer = calculator.invoke([question])
    (call,) = answer.tool_calls
    assert call["args"] == json.loads(ARGUMENTS)
    assert answer.usage_metadata["output_tokens"] > 0
    pieces = list(calculator.stream([question]))
    whole = sum(pieces[1:], pieces[0])
    assert whole.tool_calls[0]["args"] == json.loads(ARGUMENTS)
    script.text = "It is 13.<|im_end|>"
    result = ToolMessage("13", tool_call_id=call["id"])
    assert calculator.invoke([question, answer, result]).content == "It is 13."
    assert "<tool_response>\n13\n</tool_response>" in script.prompt
    assert ARGUMENTS in script.prompt


def test_a_client_that_leaves_stops_the_model(server, script):
    script.text = "x" * 5000
    script.pause = 0.2  # 1,000 tokens would take minutes.
    with server.client() as client:
        stream = client.chat.completions.create(stream=True, max_tokens=1000, **body())
        assert next(chunk for chunk in stream if chunk.choices[0].delta.content)
        assert not script.stopped.is_set()
        stream.close()
    until(script.stopped.is_set)


@pytest.mark.parametrize("route", ["chat.completions", "completions", "responses"])
def test_a_client_that_leaves_before_a_whole_answer_stops_the_model(server, script, route):
    script.text = "x" * 5000
    script.pause = 0.1
    fields = {
        "chat.completions": body() | {"max_tokens": 1000},
        "completions": {"model": "tiny", "prompt": "a", "max_tokens": 1000},
        "responses": {"model": "tiny", "input": "a", "max_output_tokens": 1000},
    }
    with server.client() as client, pytest.raises(openai.APITimeoutError):
        attrgetter(route)(client).create(timeout=0.5, **fields[route])
    until(script.stopped.is_set, 20)


def test_a_model_that_breaks_off(server, monkeypatch, caplog):
    from transformers import LlamaForCausalLM

    def break_off(*_, **__):
        raise ValueError("a secret prompt")

    monkeypatch.setattr(LlamaForCausalLM, "forward", break_off)
    with server.client() as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**body())
        assert caught.value.code == "generation_failed"
        with pytest.raises(openai.APIError, match="broke off"):
            list(client.chat.completions.create(stream=True, **body()))
    assert "secret" not in caught.value.message + caplog.text


def test_chats_are_not_logged(server, script, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    script.text = "my secret answer<|im_end|>"
    with server.client() as client:
        client.chat.completions.create(**body(messages=[{"role": "user", "content": "my secret"}]))
    # The client is in this process too, and does log what it sends when asked for that much.
    ours = [each for each in caplog.records if each.name.split(".")[0] not in {"openai", "httpx"}]
    assert not [each for each in ours if "secret" in each.getMessage()]
    assert "secret" not in "".join(capfd.readouterr())


def test_a_model_is_loaded_once(folder, script, monkeypatch):
    from langchain_finetune.local.serving import loading

    loads = []
    load = loading.load
    monkeypatch.setattr(loading, "load", lambda path, base: loads.append(path) or load(path, base))
    server = ChatServer()
    server.models["tiny"] = folder
    script.text = "hi<|im_end|>"
    with server.running(), server.client() as client, ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(client.chat.completions.create, **body()) for _ in range(5)]
        assert {each.result().choices[0].message.content for each in asked} == {"hi"}
    assert loads == [folder]


BROKEN = {
    "an adapter": {"adapter_config.json": b"{}"},
    "half a file": {"config.json": b"{}", "model.safetensors": b"\xff\0\0\0\0\0\0\0{"},
    "no index": {"model.safetensors.index.json": b"[1]"},
    "a part that is not there": {
        "model.safetensors.index.json": b'{"weight_map": {"a": "../part.safetensors"}}'
    },
}


@pytest.mark.parametrize("files", BROKEN.values(), ids=BROKEN)
def test_a_folder_that_is_no_model(server, tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    server.models["broken"] = tmp_path
    with server.client() as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**body("broken"))
    assert caught.value.code == "model_not_loadable"
    assert str(tmp_path) not in caught.value.message


def test_a_model_that_is_deleted_while_it_is_asked(server, tmp_path):
    server.models["gone"] = tmp_path / "gone"
    with server.client() as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**body("gone"))
    assert caught.value.code == "model_not_found"


def test_weights_that_do_not_fit_the_configuration(server, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"intermediate_size": 7}))
    server.models["other"] = other
    with server.client() as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**body("other"))
    assert caught.value.code == "model_not_loadable"


def test_memory_that_is_short(server, folder, tmp_path, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM

    def load(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    server.models["large"] = shutil.copytree(folder, tmp_path / "large")
    with server.client() as client:
        with monkeypatch.context() as patched:
            patched.setattr(AutoModelForCausalLM, "from_pretrained", load)
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(**body("large"))
        assert (caught.value.status_code, caught.value.code) == (503, "out_of_memory")
        assert "--model-memory" in caught.value.message
        assert client.chat.completions.create(**body("large")).model == "large"


@pytest.mark.train
def test_a_model_that_was_just_trained_answers(server, tmp_path, folder):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ahoy!"}]
    examples = [{"messages": turns}] * 12
    process = start(
        tmp_path, folder, examples, n_epochs=25, batch_size=4, learning_rate_multiplier=16
    )
    events, _, log = finish(process)
    assert events[-1]["event"] == "done", log
    server.models["ft:tiny"] = tmp_path / "models" / "model"
    with server.client() as client:
        answer = client.chat.completions.create(**body("ft:tiny", max_tokens=20))
    assert answer.choices[0].message.content == "ahoy!"
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("stops", "pieces", "shown"),
    [
        ([], ["a", " b", " ", "\n"], ["a", " b", "", "", ""]),
        (["END"], ["a E", "N", "T", " EN"], ["a", "", " ENT", "", " EN"]),
        (["END"], ["aEN", "D", "b"], ["a", "", "", ""]),
        (["b", "ab"], ["xab"], ["x", ""]),
    ],
)
def test_text_that_is_held_back(stops, pieces, shown):
    text = TextFilter(stops)
    fed = [text.feed(Text(piece)) for piece in pieces]
    assert [piece.text for piece in (*fed, text.end())] == shown


def test_canary_of_transformers_internals():
    """Fails where a new transformers changed what the serving leans on."""
    from transformers.cli.serving import utils
    from transformers.utils.chat_parsing import ResponseParser

    assert list(inspect.signature(utils.response_events_to_chunks).parameters) == ["events"]
    assert {"name", "arguments"} == set(utils.ToolCall.__dataclass_fields__)
    assert issubclass(utils.ReasoningText, str)
    parser = ResponseParser({"start_anchor": "<", "fields": {"content": {"content": "text"}}}, "")
    for name in ("_open_explicit", "_close_current", "_reset_to_implicit"):
        assert callable(getattr(parser, name))
    assert parser.feed("hello") == [
        {"type": "region_open", "field": "content"},
        {"type": "region_chunk", "field": "content", "text": "hello", "dirty": False},
    ]
    assert (parser._buffer, parser._pos) == ("hello", 5)
