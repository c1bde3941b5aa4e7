"""Ollama's Modelfile of an exported model. Pure.

Since 0.30 Ollama runs llama.cpp's server and renders chats by the GGUF file's own chat template, so
the one that the model was trained with; a `TEMPLATE` in Ollama's own language would take its place,
and writes JSON with other spaces. Source: github.com/ollama/ollama, llm/llama_server.go and
server/images.go, 2026-08; the Modelfile's instructions are in its docs/modelfile.mdx.
"""

import json
from collections.abc import Mapping, Sequence

OLLAMA_VERSION = "0.30.0"
"""The first that reads the chat template in the file."""

_MOST_CONTEXT = 8192

# By Ollama's names: transformers' names, and the values that change nothing. Ollama's own defaults
# would draw differently.
_PARAMETERS = {
    "top_p": ("top_p", 1),
    "top_k": ("top_k", 0),
    "min_p": ("min_p", 0),
    "repeat_penalty": ("repetition_penalty", 1),
}


def modelfile(
    weights: str, *, ends: Sequence[str], generation: Mapping[str, object], context: int | None
) -> str:
    """Return the Modelfile of a GGUF file beside it.

    Args:
        weights: Name of the file.
        ends: Texts that end an answer.
        generation: The model's `generation_config.json`.
        context: Most tokens that the model takes. Memory for up to 8,192 is asked for.

    Example:
        >>> print(modelfile("model-f16.gguf", ends=["<end>"], generation={}, context=2048))
        FROM ./model-f16.gguf
        REQUIRES 0.30.0
        PARAMETER stop "<end>"
        PARAMETER temperature 0
        PARAMETER top_p 1
        PARAMETER top_k 0
        PARAMETER min_p 0
        PARAMETER repeat_penalty 1
        PARAMETER num_ctx 2048
        <BLANKLINE>
    """
    # As the engine answers where a request says nothing: the likeliest token, unless the model's
    # makers advise otherwise.
    advised = generation.get("temperature", 1) if generation.get("do_sample") else 0
    given = {"temperature": advised} | {
        name: value if isinstance(value := generation.get(theirs), int | float) else neutral
        for name, (theirs, neutral) in _PARAMETERS.items()
    }
    lines = [
        f"FROM ./{weights}",
        f"REQUIRES {OLLAMA_VERSION}",
        *(f"PARAMETER stop {json.dumps(end, ensure_ascii=False)}" for end in ends),
        *(f"PARAMETER {name} {value}" for name, value in given.items()),
        f"PARAMETER num_ctx {min(context or _MOST_CONTEXT, _MOST_CONTEXT)}",
    ]
    return "\n".join(lines) + "\n"
