"""What is known about a base model before it is loaded: size, licence, context, tools, memory."""

import json
from pathlib import Path
from typing import Any

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_library import KNOWN, NANO, KnownBase, added_base
from langchain_finetune.local.base_models import find_base, parameters_in, weight_files
from langchain_finetune.local.hardware import PROCESS_BYTES, SERVING_BYTES, TRAINING_BYTES

_DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError)
"""What reading JSON of any form raises."""


def base_facts(name: str) -> dict[str, Any]:
    """Return what is known about a base that is on this machine.

    `tools` is whether its chat template knows them, `context` its most tokens. `bytes_to_train`
    and `bytes_to_serve` are estimated memory on a CPU: LoRA training of two sequences at once, and
    the weights while it serves.

    Example:
        >>> base_facts("nano")["parameters"], base_facts("nano")["context"]
        (1260544, 4096)

    Raises:
        FineTuningError: Its files are damaged, or gone.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 - of the extra

    try:
        return _read_facts(name)
    except (*_DAMAGED, SafetensorError, ApiError) as error:
        again = f"langchain-finetune bases remove {name}, and add it again"
        raise FineTuningError(
            f"The base model {name!r} can't be read ({error}): "
            f"{again if added_base(name) else 'download it again'}."
        ) from error


def _read_facts(name: str) -> dict[str, Any]:
    folder = find_base(name)
    if folder is None:
        raise FileNotFoundError("it is gone")
    config = _json(folder / "config.json")
    config = config.get("text_config", config)
    files = weight_files(folder)
    known = KNOWN.get(name) if added_base(name) else None
    place = "included" if name == NANO else "added" if added_base(name) else "Hub's cache"
    return _facts(
        name,
        place,
        parameters=sum(map(parameters_in, files)),
        size=sum(file.stat().st_size for file in files),
        licence="MIT" if name == NANO else known.licence if known else None,
        context=config.get("max_position_embeddings"),
        tools="tools" in _template(folder),
    )


def known_facts(known: KnownBase) -> dict[str, Any]:
    """Return what is known about a base that can be added, in the same fields."""
    return _facts(
        known.name,
        f"bases add {known.name}",
        parameters=known.parameters,
        size=2 * known.parameters,
        licence=known.licence,
        context=known.context,
        tools=True,
    )


def _facts(
    name: str,
    place: str,
    *,
    parameters: int,
    size: int,
    licence: str | None,
    context: int | None,
    tools: bool,
) -> dict[str, Any]:
    return {
        "base": name,
        "where": place,
        "parameters": parameters,
        "bytes_on_disk": size,
        "licence": licence,
        "context": context,
        "tools": tools,
        "bytes_to_train": PROCESS_BYTES + TRAINING_BYTES * parameters,
        "bytes_to_serve": SERVING_BYTES * parameters,
    }


def _template(folder: Path) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    return str(_json(folder / "tokenizer_config.json").get("chat_template", ""))


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found
