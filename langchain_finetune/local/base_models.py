"""Finds base models: `nano`, added ones, local folders and models of the Hugging Face Hub."""

import contextlib
import json
import math
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.base_library import KNOWN, NANO, added_base, library_folder

HUB_SECONDS = 2.5
"""Timeout of the Hugging Face Hub; its own library would retry for 46 s."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_REQUIRED_FILES = ("config.json", "tokenizer_config.json")
_CUSTOM_CODE_MESSAGE = (
    "That model requires custom Python code (auto_map), which this engine never runs. Choose a"
    " model that transformers supports natively."
)


def resolve_base(name: str, library: Path | None = None) -> Path | str:
    """Return the folder of a base model, or its id if training has to download it from the Hub.

    It takes less than three seconds. `library` is the folder of added bases.

    Raises:
        ApiError: The model does not exist or is not available: 400 or 404 with the code
            `model_not_found`.
    """
    if found := find_base(name, library):
        return found
    if name in KNOWN:
        message = f"The base model {name!r} is not here: run langchain-finetune bases add {name}."
        raise _not_found(404, message)
    if name.endswith(".gguf"):
        message = "A GGUF file has to be converted once: run langchain-finetune bases add FILE."
        raise _not_found(400, message)
    if not _HUB_ID.fullmatch(name):
        raise _not_found(
            404,
            f"There is no base model {name!r}. Use {NANO!r}, a Hugging Face Hub id such as"
            " 'Qwen/Qwen3-0.6B', or the path of a local model folder.",
        )
    _check_hub(name)
    return name


def find_base(name: str, library: Path | None = None) -> Path | None:
    """Return the folder of a base model on this machine, or None.

    Raises:
        ApiError: The folder does not contain a model, or one with custom code (400).
    """
    if name == NANO:
        return Path(__file__).with_name("nano")
    if added := added_base(name, library):
        return _checked(added)
    with contextlib.suppress(RuntimeError):  # "~name" for an unknown user.
        if (folder := Path(name).expanduser()).is_dir():
            return _checked(folder.resolve())
    if not _HUB_ID.fullmatch(name):
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - slow, rarely needed

    config = try_to_load_from_cache(name, "config.json")
    if isinstance(config, str) and is_complete(Path(config).parent):
        return _checked(Path(config).parent)
    return None


def added_bases(library: Path | None = None) -> list[str]:
    """Return the names of the added bases that are whole."""
    folder = library or library_folder()
    found = []
    for name in sorted(each.name for each in folder.iterdir()) if folder.is_dir() else ():
        with contextlib.suppress(ApiError):
            if (base := added_base(name, library)) and _checked(base):
                found.append(name)
    return found


def cached_bases() -> list[str]:
    """Return the ids of the Hugging Face Hub whose models are whole in its cache here."""
    from huggingface_hub import (  # noqa: PLC0415 - slow, rarely needed
        CacheNotFound,
        constants,
        scan_cache_dir,
    )

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    found = []
    for name in sorted(repo.repo_id for repo in repos if repo.repo_type == "model"):
        with contextlib.suppress(ApiError):
            if find_base(name):
                found.append(name)
    return found


def is_complete(folder: Path) -> bool:
    """Return whether a folder has a complete model: configuration, tokenizer, safetensors."""
    weights = folder / "model.safetensors"
    index = folder / "model.safetensors.index.json"
    if not all((folder / name).is_file() for name in _REQUIRED_FILES):
        return False
    if not index.is_file():
        return weights.is_file()
    shards = set(re.findall(r'"([^"/]+\.safetensors)"', index.read_text()))
    return all((folder / shard).is_file() for shard in shards)


def _checked(folder: Path) -> Path:
    # With such a file, transformers would load another model, from the path in it.
    if (folder / "adapter_config.json").is_file():
        raise _not_found(400, "That is only a LoRA adapter; merge it into its base model first.")
    if not is_complete(folder):
        raise _not_found(
            400,
            "That folder is not a model: config.json, tokenizer files and safetensors weights are"
            " required.",
        )
    if has_custom_code(folder):
        raise _not_found(400, _CUSTOM_CODE_MESSAGE)
    return folder


def weights_fault(loading: Mapping[str, Any]) -> str | None:
    """Return what a model lacks, by transformers' `output_loading_info`; None if it is whole.

    transformers fills what is missing with random numbers, and only warns.
    """
    missing = sorted(loading["missing_keys"])
    if not missing:
        return None
    return (
        f"The model's files lack {len(missing)} of its weights, such as {missing[0]}: download or"
        " copy the model again."
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a model's weights, without others such as those of an adapter.

    Raises:
        OSError, ValueError, LookupError: The list of the files can't be read.
    """
    index = folder / "model.safetensors.index.json"
    whole = folder / "model.safetensors"
    if not index.exists():
        return [whole] if whole.exists() else []
    parts = set(json.loads(index.read_text())["weight_map"].values())
    return [folder / Path(part).name for part in parts]


def parameters_in(file: Path) -> int:
    """Return the number of parameters in a file of weights, from its header.

    Raises:
        OSError, safetensors.SafetensorError: It can't be read.
    """
    from safetensors import safe_open  # noqa: PLC0415 - requires the extra

    with safe_open(file, framework="np") as tensors:
        return sum(
            math.prod(tensors.get_slice(name).get_shape())
            for name in tensors.keys()  # noqa: SIM118 - it is not a mapping
        )


def has_custom_code(folder: Path) -> bool:
    """Return whether a model refers to Python code in its folder or on the Hub.

    Source of fact: https://huggingface.co/docs/transformers/custom_models (`auto_map`)
    """
    return any("auto_map" in _settings(folder / name) for name in _REQUIRED_FILES)


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        # Loading the model will report it.
        return {}
    return found if isinstance(found, dict) else {}


def _check_hub(name: str) -> None:
    """Return if the model can be downloaded from the Hub in a supported format, or raise."""
    from huggingface_hub import constants, get_token  # noqa: PLC0415 - slow, rarely needed

    answer = None
    if not constants.is_offline_mode():
        address = f"{constants.ENDPOINT}/api/models/{name}"
        token = get_token()
        answer = _within(HUB_SECONDS, lambda: _fetch(address, token))
    if answer is None:
        raise _not_found(
            400,
            f"{name!r} is not on this machine, and the Hugging Face Hub is unreachable. Download"
            f" the model elsewhere and use the path of its folder, or use {NANO!r}.",
        )
    if "siblings" not in answer:
        raise _not_found(404, f"The Hugging Face Hub has no model {name!r}, or it is private.")
    if answer.get("gated") and not token:
        raise _not_found(
            400,
            f"The model {name!r} is gated: accept its terms on its Hugging Face page, then run"
            " 'hf auth login'.",
        )
    if "custom_code" in answer.get("tags", ()):
        raise _not_found(400, _CUSTOM_CODE_MESSAGE)
    if not any(file["rfilename"].endswith(".safetensors") for file in answer["siblings"]):
        raise _not_found(400, f"{name!r} has no safetensors weights, the only supported format.")


def _fetch(address: str, token: str | None) -> dict[str, Any]:
    """Return the Hub's information on a model, or `{}` if there is none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the Hub's address
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS) as reply:  # noqa: S310
            page: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        # The Hub responds with 401 for models that do not exist or are private.
        if error.code in {401, 403, 404}:
            return {}
        raise
    return page


def _within(seconds: float, fetch: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return the result of a function, or None if it fails or times out.

    A DNS lookup has no timeout, so the function runs in a thread that is abandoned when late.
    """
    results: list[dict[str, Any]] = []

    def run() -> None:
        with contextlib.suppress(OSError, ValueError):
            results.append(fetch())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else None


def _not_found(status: int, message: str) -> ApiError:
    return ApiError(status, message, code="model_not_found", param="model")
