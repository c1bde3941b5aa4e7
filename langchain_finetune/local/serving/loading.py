"""Loads models from local folders. Importing this module imports torch and transformers."""

import ctypes
import gc
import logging
import re
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from llguidance import LLTokenizer
from llguidance.hf import from_tokenizer
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_models import parameters_in, weight_files, weights_fault
from langchain_finetune.local.control_tokens import control_tokens
from langchain_finetune.local.hardware import (
    SMALL_MODEL,
    device,
    has_fast_bfloat16,
)
from langchain_finetune.local.onednn import pack
from langchain_finetune.local.serving.adapters import LoraAdapter, read_adapter
from langchain_finetune.local.serving.decoder import Decoder
from langchain_finetune.local.serving.prefix_cache import Prefixes
from langchain_finetune.local.serving.protocol import model_not_found
from langchain_finetune.local.template_process import (
    STOPPED,
    BoundedTemplate,
    TemplateStoppedError,
)
from langchain_finetune.local.templates.answer_form import AnswerForm, find_answer_form
from langchain_finetune.local.templates.prepare import prepare

logger = logging.getLogger(__name__)

_ADAPTER_FILE = "adapter_model.safetensors"

_tokenizers: WeakValueDictionary[bytes, Any] = WeakValueDictionary()

# transformers' server logs requests; prompts and answers must not come near a log.
set_verbosity_error()
disable_progress_bar()


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory, of so many `parameters`, where its weights take `nbytes`.

    One with an `adapter` has the `model` and the `decoder` of its base, and `nbytes` of its own.
    `context` is the most tokens of prompt and answer together, or None for no limit.
    """

    model: Any
    decoder: Decoder
    tokenizer: Any
    context: int | None
    parameters: int
    nbytes: int
    adapter: LoraAdapter | None = None
    prefixes: Prefixes = field(default_factory=Prefixes)

    @cached_property
    def ends(self) -> list[int]:
        """Tokens that end an answer: by the model's configuration, or by its template."""
        named = self.tokenizer.convert_tokens_to_ids(list(self.form.ends))
        return sorted({*self._advised_ends, *named} - {None})

    @cached_property
    def _advised_ends(self) -> set[int]:
        advised = self.model.generation_config.eos_token_id
        advised = advised if isinstance(advised, list) else [advised]
        return {*advised, self.tokenizer.eos_token_id} - {None}

    @cached_property
    def form(self) -> AnswerForm:
        """How the chat template writes answers."""
        texts = self.tokenizer.batch_decode(sorted(self._advised_ends))
        return find_answer_form(self.tokenizer, texts)

    @cached_property
    def closings(self) -> list[list[int]]:
        """Tokens that end something in the form of the template's calls."""
        texts = self.form.call.closings if self.form.call else []
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"]) if texts else []

    @cached_property
    def vocabulary(self) -> LLTokenizer:
        """The tokens as bytes, which takes up to a second to compute."""
        return from_tokenizer(self.tokenizer, eos_token=self.ends)

    @cached_property
    def control_tokens(self) -> re.Pattern[str]:
        """The tokens that text of a chat must not become."""
        return control_tokens(self.tokenizer)

    @cached_property
    def special(self) -> dict[str, int]:
        """Tokens that no text is made of, by what they stand for; without those that end it."""
        return {
            str(added): token
            for token, added in self.tokenizer.added_tokens_decoder.items()
            if self.vocabulary.is_special_token(token) and token not in self.ends
        }


def weigh(folder: Path) -> int:
    """Return how many bytes a model's weights will take in memory, from its files' headers.

    A folder that holds no weights weighs nothing; `load` says what is wrong with it.

    Raises:
        ApiError: 500 with the code `model_not_loadable`; 404 where the folder is gone.
    """
    try:
        files = weight_files(folder) or list(folder.glob(_ADAPTER_FILE))
        if device() != "cpu":
            return sum(file.stat().st_size for file in files)
        parameters = sum(map(parameters_in, files))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, SafetensorError) as error:
        raise _not_loadable(folder, error) from error
    return parameters * int(_cpu_type(parameters).itemsize)


def load(folder: Path, base: LoadedModel | None = None) -> LoadedModel:
    """Load a model from a local folder: safetensors only, and no code of its own.

    With a base, the folder is that of an adapter within that of the tuned model.

    Raises:
        ApiError: 500 with the code `model_not_loadable`; 404 where the folder is gone; 503 with
            the code `out_of_memory`.
    """
    try:
        if base:
            return _on_base(folder, base)
        tokenizer = _tokenizer(folder)
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype="auto",
            output_loading_info=True,
        )
        if fault := weights_fault(info):
            raise ApiError(500, fault, code="model_not_loadable", param="model")
        parameters = model.num_parameters()
        if device() == "cpu":
            model = model.to(_cpu_type(parameters))
        model = model.to(device()).eval()
        nbytes = model.get_memory_footprint()
        if device() == "cpu" and parameters >= SMALL_MODEL:
            pack(model)
    except TemplateStoppedError as error:
        raise ApiError(500, STOPPED, code="model_not_loadable", param="model") from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        logger.warning("Not enough memory for a model")
        message = (
            "Not enough memory for this model, most likely because a training job runs: retry when"
            " it has ended, or start the engine with a smaller --model-memory."
        )
        raise ApiError(503, message, code="out_of_memory", param="model") from error
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
        raise _not_loadable(folder, error) from error
    return LoadedModel(
        model=model,
        decoder=Decoder(model),
        tokenizer=tokenizer,
        context=getattr(model.config.get_text_config(), "max_position_embeddings", None),
        parameters=parameters,
        nbytes=nbytes,
    )


def _on_base(folder: Path, base: LoadedModel) -> LoadedModel:
    adapter = read_adapter(folder, base.model)
    tokenizer = _tokenizer(folder.parent)
    return replace(
        base,
        tokenizer=tokenizer,
        nbytes=adapter.nbytes,
        adapter=adapter,
        prefixes=Prefixes(),
    )


def _tokenizer(folder: Path) -> Any:
    """Return a folder's tokenizer; models with the same share it, since it takes much memory."""
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json")
    files = [folder / name for name in names]
    content = sha256(b"\0".join(file.read_bytes() for file in files if file.is_file())).digest()
    if (tokenizer := _tokenizers.get(content)) is None:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        tokenizer.apply_chat_template = BoundedTemplate(tokenizer)
        prepare(tokenizer)
        _tokenizers[content] = tokenizer
    return tokenizer


def free() -> None:
    """Give the memory of models that are gone back to the machine."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    # glibc keeps freed memory unless asked to trim; other C libraries lack the call.
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _cpu_type(parameters: int) -> Any:
    # Tiny models are no faster in 16 bits, and a CPU may have to emulate those.
    half = parameters >= SMALL_MODEL and has_fast_bfloat16()
    return torch.bfloat16 if half else torch.float32


def _not_loadable(folder: Path, error: Exception) -> ApiError:
    if not folder.exists():
        # It was deleted between the question and the loading.
        return model_not_found("The model has been deleted.")
    logger.warning("A model folder could not be loaded: %s", type(error).__name__)
    message = "The model's folder can't be loaded."
    return ApiError(500, message, code="model_not_loadable", param="model")
