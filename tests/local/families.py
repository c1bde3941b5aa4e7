"""Families of base models: their own chat templates, and tokenizers that have what those name.

The templates come from TRL, which is installed with the engine, and from llama.cpp's collection
within the source package of llama-cpp-python, which `scripts/test --templates` fetches.
"""

import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

COLLECTION = "llama-cpp-python==0.3.36"
FETCH = "LCFT_FETCH_TEMPLATES"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lcft-test-templates"

_TOKEN = re.compile(
    r"<\|[^|<>'\"\s]+\|>|<｜[^<>'\"\s]+?｜>|<\|[\w:]+>|<[\w:]+\|>|<\|\"\|>|</?[a-z_]+:?[a-z_]*>"
    r"|\[/?[A-Z_]+\]|<[a-z]+:[a-z]+>|\]~b\]|\[e~\["
)
_CONTROL = re.compile(r"<\||<｜|\[/?[A-Z]|<[\w:]+\|>|<seed:|\]~b\]|\[e~\[|<(start|end)_of_turn>")


@dataclass(frozen=True)
class Family:
    """A family: where its template is, and the token that ends its answers by its configuration."""

    name: str
    source: str
    end: str

    @property
    def template(self) -> str | None:
        """The chat template; None if its collection is not here."""
        where, _, name = self.source.partition(":")
        if where == "here":
            return _HERE[name]
        folder = _trl() if where == "trl" else collection()
        return (folder / f"{name}.jinja").read_text() if folder else None


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)

_HERE = {
    # As SmolLM2's own, but for the name in it.
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
}

FAMILIES = [
    Family("SmolLM2", "here:smollm2", "<|im_end|>"),
    Family("SmolLM3", "llama.cpp:HuggingFaceTB-SmolLM3-3B", "<|im_end|>"),
    Family("Qwen 2.5", "trl:qwen2_5", "<|im_end|>"),
    Family("Qwen 3", "trl:qwen3", "<|im_end|>"),
    Family("Qwen 3 Instruct 2507", "trl:qwen3_instruct_2507", "<|im_end|>"),
    Family("Qwen 3 Coder", "llama.cpp:Qwen3-Coder", "<|im_end|>"),
    Family("Qwen 3.5", "trl:qwen3_5_think", "<|im_end|>"),
    Family("QwQ", "llama.cpp:Qwen-QwQ-32B", "<|im_end|>"),
    Family("Llama 3", "trl:llama3", "<|eot_id|>"),
    Family("Llama 3.1", "trl:llama3_1", "<|eot_id|>"),
    Family("Llama 3.2", "trl:llama3_2", "<|eot_id|>"),
    Family("Mistral Nemo", "llama.cpp:mistralai-Mistral-Nemo-Instruct-2407", "</s>"),
    Family("Mistral Small 3.2", "llama.cpp:Mistral-Small-3.2-24B-Instruct-2506", "</s>"),
    Family("Ministral 3", "llama.cpp:mistralai-Ministral-3-14B-Reasoning-2512", "</s>"),
    Family("Gemma 1 and 2", "trl:gemma", "<end_of_turn>"),
    Family("Gemma 3", "trl:gemma3", "<end_of_turn>"),
    Family("Gemma 4", "trl:gemma4_v5", "<turn|>"),
    Family("Granite 3.3", "llama.cpp:ibm-granite-granite-3.3-2B-Instruct", "<|end_of_text|>"),
    Family("Granite 4.0", "llama.cpp:ibm-granite-granite-4.0", "<|end_of_text|>"),
    Family("Hermes 2 Pro", "llama.cpp:NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "<|im_end|>"),
    Family("Hermes 3", "llama.cpp:NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "<|im_end|>"),
    Family("gpt-oss", "trl:gptoss", "<|return|>"),
    Family("Command R", "trl:cohere", "<|END_OF_TURN_TOKEN|>"),
    Family(
        "Command R7B",
        "llama.cpp:CohereForAI-c4ai-command-r7b-12-2024-tool_use",
        "<|END_OF_TURN_TOKEN|>",
    ),
    Family("DeepSeek R1 Distill", "trl:deepseek_r1_distill", "<｜end▁of▁sentence｜>"),
    Family("DeepSeek V3", "trl:deepseekv3", "<｜end▁of▁sentence｜>"),
    Family("DeepSeek V3.1", "llama.cpp:deepseek-ai-DeepSeek-V3.1", "<｜end▁of▁sentence｜>"),
    Family("Phi 3", "trl:phi3", "<|end|>"),
    Family("Phi 3.5", "trl:phi3_5", "<|end|>"),
    Family("LFM2", "trl:lfm2_v2", "<|im_end|>"),
    Family("LFM2.5", "trl:lfm2_2_5", "<|im_end|>"),
    Family("Apertus", "llama.cpp:Apertus-8B-Instruct", "<|assistant_end|>"),
    Family("MiniCPM 5", "llama.cpp:openbmb-MiniCPM5-1B", "<|im_end|>"),
    Family("GLM 4.5", "trl:glm4moe", "<|endoftext|>"),
    Family("Nemotron 3", "trl:nemotron_3_nano", "<|im_end|>"),
    Family("Kimi K2", "llama.cpp:moonshotai-Kimi-K2", "<|im_end|>"),
    Family("Seed-OSS", "llama.cpp:ByteDance-Seed-OSS", "<seed:eos>"),
    Family("MiniMax M2", "llama.cpp:MiniMax-M2", "[e~["),
    Family("Functionary 3.1", "llama.cpp:meetkai-functionary-medium-v3.1", "<|eot_id|>"),
]


def tokenizer_of(family: Family):
    """A byte-level tokenizer whose special tokens are those that the template names."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    template = family.template
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(
        models.BPE(vocab={letter: n for n, letter in enumerate(alphabet)}, merges=[])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=family.end, bos_token="<BOS>", pad_token="<PAD>"
    )
    names = sorted({*_TOKEN.findall(template)} - {family.end})
    tokenizer.add_tokens([AddedToken(name, special=bool(_CONTROL.match(name))) for name in names])
    if "tool_use" in family.source:
        # These bases have a template for chats with tools, and ChatML, or the like, for others.
        template = {
            "default": family.template if "c4ai" in family.source else CHATML,
            "tool_use": template,
        }
    tokenizer.chat_template = template
    return tokenizer


def _trl() -> Path:
    import trl

    return Path(trl.__file__).with_name("chat_templates")


@cache
def collection() -> Path | None:
    """The folder of llama.cpp's templates: fetched once if asked to; None if it is not here."""
    folder = CACHE / COLLECTION
    if not folder.is_dir() and os.environ.get(FETCH):
        packed = CACHE / "packed"
        packed.mkdir(parents=True, exist_ok=True)
        # pip builds no more than the package's metadata for that.
        asked = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*asked, "--dest", str(packed), COLLECTION], check=True)
        fresh = CACHE / "fresh"
        fresh.mkdir(exist_ok=True)
        with tarfile.open(next(packed.glob("*.tar.gz"))) as archive:
            for member in archive:
                if re.search(r"/models/templates/[^/]+\.jinja$", member.name):
                    (fresh / Path(member.name).name).write_bytes(archive.extractfile(member).read())
        fresh.rename(folder)
    return folder if folder.is_dir() else None
