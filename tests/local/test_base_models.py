"""Where base models come from, and what is said when they can't be had."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from langchain_finetune.local import base_models
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_models import is_complete, resolve_base


def make_folder(folder, *files):
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_text("{}")
    return folder


WHOLE = ("config.json", "tokenizer_config.json", "model.safetensors")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine; yields the answers by path, each a status and a page.

    A path with None has no answer before the test has ended.
    """
    from huggingface_hub import constants

    answers, ended = {}, Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path, (401, {"error": "Invalid username"}))
            if answer is None:
                ended.wait(60)
                return
            status, page = answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
        monkeypatch.setenv("HF_TOKEN", "")
        yield answers
        ended.set()
        server.shutdown()


def refused(name):
    with pytest.raises(ApiError) as caught:
        resolve_base(name)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    return caught.value


def test_nano_is_the_packaged_folder():
    assert resolve_base("nano").parent.name == "local"


def test_local_folder(tmp_path):
    folder = make_folder(tmp_path / "model", *WHOLE)
    assert resolve_base(str(folder)) == folder
    (folder / "model.safetensors").unlink()
    error = refused(str(folder))
    assert error.status == 400
    assert "safetensors" in error.message


def test_folder_of_an_adapter(tmp_path):
    folder = make_folder(tmp_path, "adapter_config.json", "adapter_model.safetensors")
    assert "LoRA" in refused(str(folder)).message


def test_shards_must_all_be_there(tmp_path):
    folder = make_folder(tmp_path, "config.json", "tokenizer_config.json")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "one.safetensors").touch()
    assert not is_complete(folder)
    (folder / "two.safetensors").touch()
    assert is_complete(folder)


def test_unknown_name():
    error = refused("gpt-4o-mini")
    assert error.status == 404
    assert "nano" in error.message


def test_hub_model_in_the_cache(hub, tmp_path):
    folder = tmp_path / "cache" / "models--Qwen--Tiny"
    snapshot = make_folder(folder / "snapshots" / "abc", *WHOLE)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    assert resolve_base("Qwen/Tiny") == snapshot


def test_hub_model_to_download(hub):
    page = {"siblings": [{"rfilename": "model.safetensors"}], "gated": False}
    hub["/api/models/Qwen/Tiny"] = (200, page)
    assert resolve_base("Qwen/Tiny") == "Qwen/Tiny"


def test_hub_knows_no_such_model(hub):
    error = refused("Qwen/None")
    assert error.status == 404
    assert "no model" in error.message


def test_hub_model_behind_a_consent(hub):
    page = {"siblings": [{"rfilename": "model.safetensors"}], "gated": "manual"}
    hub["/api/models/meta/Gated"] = (200, page)
    assert "accept its terms" in refused("meta/Gated").message


def test_hub_model_without_safetensors(hub):
    hub["/api/models/old/Pickle"] = (200, {"siblings": [{"rfilename": "pytorch_model.bin"}]})
    assert "safetensors" in refused("old/Pickle").message


def test_hub_model_with_code(hub):
    page = {"siblings": [{"rfilename": "model.safetensors"}], "tags": ["custom_code"]}
    hub["/api/models/odd/Coded"] = (200, page)
    assert "requires custom Python code" in refused("odd/Coded").message


def test_hub_in_trouble(hub):
    hub["/api/models/Qwen/Tiny"] = (503, {})
    assert "is unreachable" in refused("Qwen/Tiny").message


def test_hub_that_is_slow(hub, monkeypatch):
    monkeypatch.setattr(base_models, "HUB_SECONDS", 0.2)
    hub["/api/models/Qwen/Tiny"] = None
    assert "is unreachable" in refused("Qwen/Tiny").message


def test_offline_mode(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    assert "is unreachable" in refused("Qwen/Tiny").message


def test_a_home_that_nobody_has():
    assert refused("~nobody-has-this-name/model").status == 404


def test_a_base_of_the_library_that_is_not_here():
    assert "run langchain-finetune bases add smollm2-135m" in refused("smollm2-135m").message


def test_a_gguf_file_has_to_be_converted():
    assert "run langchain-finetune bases add FILE" in refused("models/a.gguf").message


def test_bases_of_the_hubs_cache_are_listed_if_they_are_whole(hub, tmp_path):
    for name, files in (("acme--whole", WHOLE), ("acme--part", WHOLE[:1])):
        repo = tmp_path / "cache" / f"models--{name}"
        make_folder(repo / "snapshots" / "1", *files)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text("1")
    assert base_models.cached_bases() == ["acme/whole"]


def test_settings_that_are_not_json_are_left_to_who_loads_the_model(tmp_path):
    folder = make_folder(tmp_path / "broken", *WHOLE)
    (folder / "config.json").write_text("{")
    assert resolve_base(str(folder)) == folder
