"""A fine-tuned model's contract with its training: found again, and watched over."""

import warnings
from pathlib import Path
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI

from langchain_finetune.convert.contract import TrainedContract, fingerprint, load_contract
from langchain_finetune.errors import FineTuningError, TrainedContractWarning
from langchain_finetune.home import home_path


class ContractWatch(BaseCallbackHandler):
    """Warns once when a fine-tuned model is called with other tools than it was trained on."""

    run_inline = True  # It only looks: no thread is needed for it.

    def __init__(self, contract: TrainedContract, model: str) -> None:
        self.contract = contract
        self._model = model
        self._warned = False

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[Any]], **kwargs: Any
    ) -> None:
        """Compare the tools of a call with those of the training."""
        del serialized, messages
        tools = (kwargs.get("invocation_params") or {}).get("tools") or []
        if self._warned or not self.contract.tool_lists:
            return
        if fingerprint(tools) not in self.contract.tool_lists:
            self._warned = True
            warnings.warn(
                f"{self._model} is called with tools that it was not trained with "
                f"({difference(tools, self.contract.tools)}); it may answer worse. "
                "trained_contract(model).tools are those of its training.",
                TrainedContractWarning,
                stacklevel=2,
            )


def difference(tools: list[Any], trained: list[Any]) -> str:
    """Return a description of the difference of two lists of tools, by names.

    Example:
        >>> difference([], [{"type": "function", "function": {"name": "add"}}])
        'missing: add'
    """
    offered, known = _by_name(tools), _by_name(trained)
    parts = {
        "new": [name for name in offered if name not in known],
        "missing": [name for name in known if name not in offered],
        "changed": [
            name
            for name in offered
            if name in known and fingerprint(offered[name]) != fingerprint(known[name])
        ],
    }
    named = [f"{what}: {', '.join(names)}" for what, names in parts.items() if names]
    return "; ".join(named) or "another order"


def trained_contract(model: ChatOpenAI, home: Path | None = None) -> TrainedContract | None:
    """Return the tools and response format that a model was trained with.

    Args:
        model: What `FineTune` returned; also one that was sent over HTTP or saved and loaded,
            on the machine that trained it.
        home: The home folder; by default the usual one.

    Returns:
        The contract, or None where this machine does not know it.
    """
    callbacks = model.callbacks
    known = callbacks if isinstance(callbacks, list) else getattr(callbacks, "handlers", ())
    for handler in known:
        if isinstance(handler, ContractWatch):
            return handler.contract
    sha256 = (model.metadata or {}).get("training_sha256")
    return load_contract(str(sha256) if sha256 else None, home or home_path())


def with_watch(settings: dict[str, Any], contract: TrainedContract, model: str) -> dict[str, Any]:
    """Return a model's settings with a watch over its contract among the callbacks."""
    given = settings.get("callbacks")
    watch = ContractWatch(contract, model)
    if isinstance(given, BaseCallbackManager):
        manager = given.copy()
        manager.add_handler(watch)
        return {**settings, "callbacks": manager}
    return {**settings, "callbacks": [*(given or ()), watch]}


def bound_as_trained(model: ChatOpenAI) -> Runnable[Any, Any]:
    """Return the model bound to the tools and the answer's format that it was trained with.

    Raises:
        FineTuningError: This machine does not know what it was trained with.
    """
    contract = trained_contract(model)
    if contract is None:
        raise FineTuningError(
            f"It is not known here what {model.model_name} was trained with: its training files "
            "were made on another machine, or in another home."
        )
    request = {
        "tools": contract.tools or None,
        "parallel_tool_calls": contract.parallel_tool_calls if contract.tools else None,
        "response_format": contract.response_format,
    }
    given = {name: value for name, value in request.items() if value is not None}
    return model.bind(**given) if given else model


def _by_name(tools: list[Any]) -> dict[str, Any]:
    named = {}
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        name = (function or tool).get("name", "?") if isinstance(tool, dict) else "?"
        named[str(name)] = tool
    return named
