"""Bases that would run code when they are loaded: refused by name, and never run all the same."""

import json
import os
import pickle
import shutil

import pytest
from safetensors.torch import load_file, save_file

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_models import resolve_base
from langchain_finetune.local.training.events import TrainingFailure

AUTO_MAP = {
    "AutoConfig": "evil.EvilConfig",
    "AutoModelForCausalLM": "evil.EvilModel",
    "AutoTokenizer": ["evil.EvilTokenizer", None],
}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def mark(tmp_path):
    """Where the bases below would leave a folder behind, if any of their code ran."""
    path = tmp_path / "it ran"
    yield path
    assert not path.exists()


def change(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def with_code(folder, mark, *, known):
    """A base with code beside it, of a type that transformers knows by itself, or not."""
    code = f"import os\nos.makedirs({str(mark)!r}, exist_ok=True)\n"
    (folder / "evil.py").write_text(code)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(code)
    change(folder / "config.json", auto_map=AUTO_MAP, **({} if known else {"model_type": "evil"}))
    change(folder / "tokenizer_config.json", auto_map=AUTO_MAP)
    return folder


def pickled(folder, mark):
    """A base whose weights are a pickle."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark)))
    return folder


def with_adapter(folder, mark):
    """A base beside which lies an adapter with pickled weights, for a base with code."""
    other = with_code(shutil.copytree(folder, folder.parent / "other"), mark, known=False)
    settings = {"peft_type": "LORA", "base_model_name_or_path": str(other)}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Evil(mark)))
    return folder


def load_all_ways(folder):
    """Whether each way to load a base did so."""
    from langchain_finetune.convert.tokens.local import _encoder
    from langchain_finetune.local.serving.loading import load
    from tests.local.training_process import load_to_train

    worked = []
    ways = (lambda base: _encoder(base, is_ours=False), load, load_to_train)
    for way in ways:
        try:
            worked.append(bool(way(folder)))
        except (ApiError, OSError, TrainingFailure, ValueError):
            worked.append(False)
    return worked


def refused(folder):
    with pytest.raises(ApiError) as caught:
        resolve_base(str(folder))
    assert (caught.value.status, caught.value.code) == (400, "model_not_found")
    return caught.value.message


@pytest.mark.parametrize("known", [True, False])
def test_a_base_with_code(tiny_model, mark, known):
    folder = with_code(tiny_model, mark, known=known)
    assert "requires custom Python code" in refused(folder)
    # Should one come past that door, transformers is told not to trust it.
    load_all_ways(folder)


def test_a_base_of_pickled_weights(tiny_model, mark):
    folder = pickled(tiny_model, mark)
    assert "safetensors weights" in refused(folder)
    assert load_all_ways(folder)[1:] == [False, False]


def test_a_base_with_an_adapter_beside_it(tiny_model, mark):
    assert "LoRA adapter" in refused(with_adapter(tiny_model, mark))


def test_a_good_base_is_loaded_in_all_ways(tiny_model):
    assert resolve_base(str(tiny_model)) == tiny_model
    assert load_all_ways(tiny_model) == [True, True, True]


def test_a_base_that_lacks_weights(tiny_model):
    """transformers would fill them with random numbers, and warn."""
    from langchain_finetune.local.serving.loading import load
    from tests.local.training_process import load_to_train

    weights = load_file(tiny_model / "model.safetensors")
    lost = sorted(weights)[3]
    del weights[lost]
    save_file(weights, tiny_model / "model.safetensors", metadata={"format": "pt"})
    assert resolve_base(str(tiny_model)) == tiny_model
    for way in (load, load_to_train):
        with pytest.raises((ApiError, TrainingFailure)) as refused:
            way(tiny_model)
        assert f"lack 1 of its weights, such as {lost}" in refused.value.message
        assert refused.value.code in {"model_not_loadable", "base_model_unavailable"}


def test_tied_weights_are_not_missing(tmp_path):
    from transformers import AutoModelForCausalLM

    from langchain_finetune.local.base_library import NANO
    from langchain_finetune.local.serving.loading import load

    folder = shutil.copytree(resolve_base(NANO), tmp_path / "tied")
    change(folder / "config.json", tie_word_embeddings=True)
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert load(folder).model
