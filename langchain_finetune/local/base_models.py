"""Which base models can be fine-tuned here, and where they are."""

import contextlib
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_finetune.local.api_error import ApiError

NANO = "nano"
"""The small base that this package brings along, for tests and first runs."""

HUB_SECONDS = 2.5
"""How long the Hugging Face hub may take to answer; its own library would retry for 46 s."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_NEEDED = ("config.json", "tokenizer_config.json")
_OWN_CODE = (
    "That model brings Python code of its own (auto_map), which this engine never runs: take one"
    " that transformers knows by itself."
)


def resolve_base(name: str) -> Path | str:
    """Find a base model by its name, in under three seconds.

    Args:
        name: `nano`, a local folder, or an id on the Hugging Face hub such as `Qwen/Qwen3-0.6B`.

    Returns:
        The model's folder; or the id itself, where the hub has the model and it still has to be
        downloaded (the training process does that).

    Raises:
        ApiError: There is no such model, or it can't be had now: 400 or 404 with the code
            `model_not_found` and a sentence that says what to do.
    """
    if found := find_base(name):
        return found
    if not _HUB_ID.fullmatch(name):
        raise _not_found(
            404,
            f"There is no base model {name!r} here: take {NANO!r}, a model's id on the Hugging Face"
            " hub such as 'Qwen/Qwen3-0.6B', or the path of a local model folder.",
        )
    _ask_hub(name)
    return name


def find_base(name: str) -> Path | None:
    """Return the folder of a base model that is on this machine; None where it is not.

    Raises:
        ApiError: It is a folder, but no model, or one that brings code of its own (400).
    """
    if name == NANO:
        return Path(__file__).with_name("nano")
    with contextlib.suppress(RuntimeError):  # "~name", where nobody has that name.
        if (folder := Path(name).expanduser()).is_dir():
            return _checked(folder.resolve())
    return _cached(name) if _HUB_ID.fullmatch(name) else None


def is_complete(folder: Path) -> bool:
    """Tell whether a folder holds a whole model: configuration, tokenizer and safetensors."""
    weights = folder / "model.safetensors"
    index = folder / "model.safetensors.index.json"
    if not all((folder / needed).is_file() for needed in _NEEDED):
        return False
    if not index.is_file():
        return weights.is_file()
    shards = set(re.findall(r'"([^"/]+\.safetensors)"', index.read_text()))
    return all((folder / shard).is_file() for shard in shards)


def _checked(folder: Path) -> Path:
    # With such a file, transformers would load another model, from wherever it says.
    if (folder / "adapter_config.json").is_file():
        raise _not_found(
            400, "That folder holds a LoRA adapter only; merge it into its base model first."
        )
    if not is_complete(folder):
        raise _not_found(
            400,
            "That folder is no model: it needs config.json, tokenizer files and weights in"
            " safetensors.",
        )
    if brings_code(folder):
        raise _not_found(400, _OWN_CODE)
    return folder


def brings_code(folder: Path) -> bool:
    """Tell whether a model asks for Python code that lies beside it, or on the hub.

    Source of fact: https://huggingface.co/docs/transformers/custom_models (`auto_map`)
    """
    return any("auto_map" in _settings(folder / name) for name in _NEEDED)


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        # Loading the model will say so.
        return {}
    return found if isinstance(found, dict) else {}


def _cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - slow, rarely needed

    found = try_to_load_from_cache(name, "config.json")
    folder = Path(found).parent if isinstance(found, str) else None
    return _checked(folder) if folder and is_complete(folder) else None


def _ask_hub(name: str) -> None:
    """Return only if the hub has the model, in a form that can be read, and gives it to us."""
    from huggingface_hub import constants, get_token  # noqa: PLC0415 - slow, rarely needed

    answer = None
    if not constants.is_offline_mode():
        address = f"{constants.ENDPOINT}/api/models/{name}"
        token = get_token()
        answer = _within(HUB_SECONDS, lambda: _fetch(address, token))
    if answer is None:
        raise _not_found(
            400,
            f"{name!r} is not on this machine, and the Hugging Face hub can't be reached:"
            f" download it elsewhere and give its folder, or take {NANO!r}.",
        )
    if "siblings" not in answer:
        raise _not_found(404, f"The Hugging Face hub has no model {name!r} that it shows us.")
    if answer.get("gated") and not token:
        raise _not_found(
            400,
            f"The hub asks for consent before it gives {name!r}: accept its terms on its page,"
            " then run 'hf auth login'.",
        )
    if "custom_code" in answer.get("tags", ()):
        raise _not_found(400, _OWN_CODE)
    if not any(file["rfilename"].endswith(".safetensors") for file in answer["siblings"]):
        raise _not_found(400, f"{name!r} has no weights in safetensors, which is all that is read.")


def _fetch(address: str, token: str | None) -> dict[str, Any]:
    """Read the hub's page about a model; `{}` where it says that there is none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the hub's own address
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS) as reply:  # noqa: S310
            page: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        # The hub answers 401 for a model that does not exist, or is private.
        if error.code in {401, 403, 404}:
            return {}
        raise
    return page


def _within(seconds: float, ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return the answer, or None where it could not be had in time.

    A name look-up knows no timeout, so the question runs beside and is left alone when late.
    """
    answers: list[dict[str, Any]] = []

    def run() -> None:
        # Without an answer there is nothing more to tell than that there was none.
        with contextlib.suppress(OSError, ValueError):
            answers.append(ask())

    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else None


def _not_found(status: int, message: str) -> ApiError:
    return ApiError(status, message, code="model_not_found", param="model")
