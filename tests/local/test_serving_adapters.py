"""LoRA models of one base share its weights in memory, and a step."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_reference import shareable, write_reference
from langchain_finetune.local.documents import open_records
from langchain_finetune.local.models import ADAPTER, Models, OnBase
from langchain_finetune.local.serving.adapters import read_adapter
from langchain_finetune.local.serving.decoder import Decoder, Portion
from langchain_finetune.local.serving.model_pool import ModelPool
from tests.local.chat_server import ChatServer
from tests.local.tiny_model import make_tiny_model

# PEFT asks for it, on making and reading adapters.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

NAMES = ("a", "b", "c")


def tune(base, folder, seed, **settings):
    """Write a model that is tuned at random: merged, and its adapter beside it."""
    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"} | settings
    model = AutoModelForCausalLM.from_pretrained(base)
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.3)
    tuned.save_pretrained(folder / ADAPTER)
    merged = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), folder / ADAPTER
    ).merge_and_unload()
    merged.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    write_reference(folder / ADAPTER, base)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    place = tmp_path_factory.mktemp("tuned")
    return {name: tune(base, place / name, seed) for seed, name in enumerate(NAMES)}


def test_a_step_of_several_adapters_is_that_of_their_merged_models(base, tuned):
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    adapters = [None, *(read_adapter(tuned[name] / ADAPTER, model) for name in NAMES)]
    ids = [5, 6, 7, 8, 9, 10]
    right = []
    with torch.inference_mode():
        for folder in (base, *tuned.values()):
            alone = AutoModelForCausalLM.from_pretrained(folder).eval()
            right.append(alone(torch.tensor([ids])).logits[0, -1])
    assert (right[0] - right[1]).abs().max() > 0.1
    decoder = Decoder(model)
    pasts = [decoder.sequence() for _ in adapters]
    for part in (ids[:4], ids[4:]):
        portions = [
            Portion(past, part, adapter) for past, adapter in zip(pasts, adapters, strict=True)
        ]
        got = decoder.step(portions)
    torch.testing.assert_close(got, torch.stack(right), atol=1e-4, rtol=1e-3)
    # Those that can't be batched are adapted, too.
    decoder.together = False
    model.set_attn_implementation("sdpa")
    alone = [decoder.step([Portion(decoder.sequence(), ids, each)])[0] for each in adapters]
    torch.testing.assert_close(torch.stack(alone), torch.stack(right), atol=1e-4, rtol=1e-3)


def test_they_answer_together_as_their_merged_models_do(base, tuned, monkeypatch):
    from langchain_finetune.local.serving import loading

    loads = []
    load = loading.load
    monkeypatch.setattr(loading, "load", lambda *given: loads.append(given[0].name) or load(*given))
    server = ChatServer(tiny=base, **{f"merged-{name}": tuned[name] for name in NAMES})
    for name in NAMES:
        server.models[name] = OnBase(tuned[name] / ADAPTER, "tiny", base)

    with server.running(), server.client() as client, ThreadPoolExecutor(12) as threads:

        def ask(model):
            answer = client.completions.create(
                model=model, prompt="Once upon a time", max_tokens=24, temperature=0
            )
            return answer.choices[0].text

        names = ["tiny", *NAMES]
        together = list(threads.map(ask, names * 3))
        assert together[:4] == together[4:8] == together[8:]
        assert loads.count(base.name) == 1
        assert loads.count(ADAPTER) == 3
        merged = [ask(f"merged-{name}") for name in NAMES]
        assert together[1:4] == merged
        assert len(set(merged)) == 3


def test_the_base_that_an_adapter_belongs_to(base, tuned, tmp_path):
    bases = {"tiny": base}
    models = Models(
        open_records(tmp_path / "engine.sqlite"),
        tmp_path / "models",
        aliases={},
        resolve_base=lambda name: bases[name],
        find_base=bases.get,
    )
    folder = shutil.copytree(tuned["a"], tmp_path / "new")
    name = models.keep(folder, job="ftjob-1", model="tiny", suffix=None)
    kept = tmp_path / "models" / "ftjob-1"
    assert models.loadable(name) == OnBase(kept / ADAPTER, "tiny", base)
    assert models.loadable("tiny") == base
    # Another version of the base, or none: the merged weights answer.
    bases["tiny"] = shutil.copytree(base, tmp_path / "other")
    assert isinstance(models.loadable(name), OnBase)
    weights = bases["tiny"] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0?")
    assert models.loadable(name) == kept
    del bases["tiny"]
    assert models.loadable(name) == kept
    # Those of earlier versions do not say which base was theirs.
    bases["tiny"] = base
    (kept / ADAPTER / "base.json").unlink()
    assert models.loadable(name) == kept


def test_an_adapter_that_can_not_be_read(base, tuned, tmp_path):
    broken = shutil.copytree(tuned["a"], tmp_path / "broken")
    (broken / ADAPTER / "adapter_config.json").write_text("{}")
    server = ChatServer(tiny=base, broken=OnBase(broken / ADAPTER, "tiny", base))
    with server.running(), server.client() as client:
        with pytest.raises(Exception, match="can't be loaded"):
            client.completions.create(model="broken", prompt="Once")
        assert client.completions.create(model="tiny", prompt="Once").choices


@pytest.mark.parametrize(
    ("settings", "tensor", "right"),
    [
        ({}, "model.layers.0.q_proj.lora_A.weight", True),
        ({"use_dora": True}, "model.layers.0.q_proj.lora_A.weight", False),
        ({"rank_pattern": {"q_proj": 4}}, "model.layers.0.q_proj.lora_A.weight", False),
        ({}, "model.embed_tokens.lora_embedding_A", False),
        ({}, "model.layers.0.experts.0.up.lora_A.weight", False),
        ({}, "model.norm.weight", False),
    ],
)
def test_which_adapters_are_switched_by_row(settings, tensor, right):
    linear = ["model.layers.0.q_proj", "model.layers.0.experts.0.up"]
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, **settings}
    assert shareable(config, [f"base_model.model.{tensor}"], linear) is right


class Weighted:
    def __init__(self, nbytes):
        self.nbytes = nbytes


def test_a_base_stays_as_long_as_one_of_its_adapters():
    loads = []

    def size(folder):
        return int(folder.name.partition("-")[2])

    def load(folder, base):
        loads.append((folder.name, base and base.nbytes))
        if folder.name == "broken-10":
            raise ApiError(500, "Broken.", code="model_not_loadable")
        return Weighted(size(folder))

    async def check():
        pool = ModelPool(100, weigh=size, load=load, free=lambda: None)
        base = ("base", Path("base-50"))
        for name in ("one-10", "two-10", "one-10"):
            (await pool.lease(name, Path(name), base)).release()
        assert loads == [("base-50", None), ("one-10", 50), ("two-10", 50)]
        assert pool.nbytes == 70
        with pytest.raises(ApiError, match="Broken"):
            await pool.lease("broken-10", Path("broken-10"), base)
        assert pool.nbytes == 70
        # The adapters have to go before the base can.
        (await pool.lease("other-60", Path("other-60"))).release()
        assert pool.names == ["other-60"]
        assert pool.nbytes == 60
        with pytest.raises(ApiError) as caught:
            await pool.lease("big-60", Path("big-60"), base)
        assert caught.value.code == "model_too_large"
        held = await pool.lease("one-10", Path("one-10"), base)
        waiting = asyncio.create_task(pool.lease("other-60", Path("other-60")))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        held.release()
        (await waiting).release()
        await pool.lease("two-10", Path("two-10"), base)
        assert pool.nbytes == 60
        await pool.forget("two-10")

    asyncio.run(check())
