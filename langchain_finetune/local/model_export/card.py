"""The README of an exported model, which is also its card at the Hugging Face Hub. Pure."""

import re
from dataclasses import dataclass
from typing import Literal

from langchain_finetune.local.model_export.modelfile import OLLAMA_VERSION

ExportFormat = Literal["hf", "adapter", "gguf", "ollama", "mlx"]

_ON_SCHEMAS = (
    "In its training the model saw the JSON schema of a request's `response_format` at the end of"
    " the system prompt. Servers other than langchain-finetune's keep to the schema without showing"
    " it: add it there yourself, in this form, with sorted keys."
)
_OF_FOUR_BITS = (
    "It was trained with its base in 4 bits (QLoRA; bitsandbytes, NF4, double quantization), and"
    " its weights are what those 4 bits stand for, with the LoRA matrices merged in."
)
_FOR_FOUR_BITS = (
    "These matrices were trained on the base in 4 bits (QLoRA; bitsandbytes, NF4, double"
    " quantization). On the base in more bits they make another model, near to the trained one. The"
    " trained one is what `--format hf` writes."
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Exported:
    """What a README says of.

    Attributes:
        name: The model's name at the engine.
        form: Its form.
        base: Name of its base, or None.
        weights: Name of the GGUF file, if it is one.
        template: Its chat template.
        licence: Of the base's weights, as an SPDX id, if known.
        shows_format: Whether it was trained to see the JSON schema of a response format.
        four_bits: Whether it was trained with its base in 4 bits.
    """

    name: str
    form: ExportFormat
    base: str | None
    weights: str | None
    template: str
    licence: str | None
    shows_format: bool
    four_bits: bool = False

    @property
    def served_as(self) -> str:
        """Name that each server takes.

        Example:
            >>> Exported("ft:nano:local:My bot:1a", "hf", None, None, "", None, False).served_as
            'ft-nano-local-my-bot-1a'
        """
        return re.sub(r"[^a-z0-9._-]+", "-", self.name.lower()).strip("-.")


def readme(model: Exported) -> str:
    """Return the README: lines that serve the model, and the `ChatOpenAI` for it."""
    origin = f"A fine-tune of `{model.base}`" if model.base else "A base model"
    blocks = [_about(model), f"# {model.served_as}", f"{origin}, made with langchain-finetune."]
    if model.four_bits:
        blocks.append(_FOR_FOUR_BITS if model.form == "adapter" else _OF_FOUR_BITS)
    for title, lines, port, name in _servers(model):
        blocks += [f"## {title}", _code("sh", lines), _code("python", _client(port, name))]
    if model.shows_format:
        blocks += [
            "## JSON schemas",
            _ON_SCHEMAS,
            _code("text", ["# Response format", "", 'NAME: {"properties": ...}']),
        ]
    return "\n\n".join(blocks) + "\n"


def _about(model: Exported) -> str:
    """Return the metadata that the Hub reads."""
    library = {"adapter": "peft", "gguf": "gguf", "ollama": "gguf", "mlx": "mlx"}
    lines = [
        "pipeline_tag: text-generation",
        f"library_name: {library.get(model.form, 'transformers')}",
        "tags: [langchain-finetune]",
    ]
    if model.base and _HUB_ID.fullmatch(model.base):
        lines.append(f"base_model: {model.base}")
    if model.licence:
        lines.append(f"license: {model.licence.lower()}")
    return "\n".join(["---", *lines, "---"])


def _servers(model: Exported) -> list[tuple[str, list[str], int, str]]:
    """Return how each server that loads this form is started: title, lines, port and name."""
    name = model.served_as
    vllm = "vllm serve . --served-model-name " + name
    calls = ""
    if "<tool_call>" in model.template and '"name"' in model.template:
        calls = " --enable-auto-tool-choice --tool-call-parser hermes"
    match model.form:
        case "hf":
            return [
                ("vLLM", [vllm + calls], 8000, name),
                ("transformers", ["transformers serve . --port 8000"], 8000, "."),
            ]
        case "adapter":
            lora = f"vllm serve {model.base} --enable-lora --lora-modules {name}=."
            return [("vLLM", [f"{lora} --chat-template chat_template.jinja{calls}"], 8000, name)]
        case "mlx":
            lines = ["mlx_lm.server --model . --port 8080"]
            four = "# In 4 bits: mlx_lm.convert --hf-path . --mlx-path ../4bit -q"
            return [("mlx-lm", [*lines, four], 8080, "default_model")]
    llama = f"llama-server -m {model.weights} --jinja --alias {name} --port 8080"
    found = [("llama.cpp", [llama], 8080, name)]
    if model.form == "ollama":
        lines = [
            f"# Ollama {OLLAMA_VERSION} or newer: it reads the chat template in the file.",
            f"ollama create {name} -f Modelfile",
        ]
        found.insert(0, ("Ollama", lines, 11434, name))
    return found


def _client(port: int, name: str) -> list[str]:
    url = f"http://127.0.0.1:{port}/v1"
    return [
        "from langchain_openai import ChatOpenAI",
        "",
        f'model = ChatOpenAI(model="{name}", base_url="{url}", api_key="none")',
    ]


def _code(language: str, lines: list[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])
