"""A fine-tuned model's contract with its training: found again, and watched over."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI

from langchain_finetune.content import mapping
from langchain_finetune.convert.contract import TrainedContract, fingerprint, load_contract
from langchain_finetune.errors import FineTuningError, TrainedContractWarning
from langchain_finetune.home import home_path


class ContractWatch(BaseCallbackHandler):
    """Warns once when a fine-tuned model is called otherwise than it was trained.

    That is with other tools, or with a JSON schema where no example had one.
    """

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
        request = kwargs.get("invocation_params") or {}
        self._look_at_format(request)
        if self._warned or not self.contract.tool_lists or _does_without_tools(request):
            return
        tools = request.get("tools") or []
        if fingerprint(tools) in self.contract.tool_lists:
            return
        self._warned = True
        trained = self.contract.tools
        if tools:
            told = f"with other tools than it was trained with: {difference(tools, trained)}"
        else:
            told = f"without tools, but was trained with {', '.join(_by_name(trained))}"
        warnings.warn(
            f"{self._model} is called {told}. It may answer worse. "
            "FineTune(bind_trained_tools=True) gives it those of its training; "
            "trained_contract(model).tools lists them.",
            TrainedContractWarning,
            stacklevel=2,
        )

    def _look_at_format(self, request: Mapping[str, Any]) -> None:
        """Warn where a schema is asked for, and no example had one."""
        form = request.get("response_format")
        # A pydantic class comes as it is; langchain-openai makes its schema only for the request.
        asked = isinstance(form, type) or "json_schema" in mapping(form)
        if self._warned or not asked or self.contract.formats != 0:
            return
        self._warned = True
        warnings.warn(
            f"{self._model} is asked for a JSON schema, but was trained without any. It may answer "
            "worse. If the old model answered by calling a tool, as with_structured_output of many "
            'chat models has it, pass method="function_calling" to it.',
            TrainedContractWarning,
            stacklevel=3,
        )


def _does_without_tools(request: Mapping[str, Any]) -> bool:
    """Return whether a request says that it wants no tools, in place of leaving them out."""
    is_empty = "tools" in request and not request["tools"]
    asks_for_format = not request.get("tools") and request.get("response_format") is not None
    return is_empty or request.get("tool_choice") == "none" or asks_for_format


def difference(tools: list[Any], trained: list[Any]) -> str:
    """Return a description of the difference of two lists of tools.

    Example:
        >>> def tool(name, **more):
        ...     return {"type": "function", "function": {"name": name, **more}}
        >>> difference([tool("add", description="Adds")], [tool("add"), tool("mul")])
        'missing: mul; changed: add (description)'
        >>> difference([tool("mul"), tool("add")], [tool("add"), tool("mul")])
        'another order'
    """
    offered, known = _by_name(tools), _by_name(trained)
    parts = {
        "new": [name for name in offered if name not in known],
        "missing": [name for name in known if name not in offered],
        "changed": [
            f"{name} ({', '.join(fields)})"
            for name in offered
            if name in known and (fields := _changed_fields(offered[name], known[name]))
        ],
    }
    named = [f"{what}: {', '.join(names)}" for what, names in parts.items() if names]
    return "; ".join(named) or "another order"


def _changed_fields(tool: Any, trained: Any) -> list[str]:
    """Return the fields in which two tools of one name differ, such as `description`."""
    if fingerprint(tool) == fingerprint(trained):
        return []
    one, other = _flat(tool), _flat(trained)
    names = dict.fromkeys((*one, *other))
    missing = object()
    return [
        name
        for name in names
        if fingerprint(one.get(name)) != fingerprint(other.get(name))
        or (one.get(name, missing) is missing) != (other.get(name, missing) is missing)
    ]


def _flat(tool: Any) -> dict[str, Any]:
    """Return the fields of a tool and of its function, with its parameters one by one."""
    if not isinstance(tool, dict):
        return {"form": tool}
    fields = {key: tool[key] for key in tool if key != "function"}
    if isinstance(function := tool.get("function"), dict):
        fields |= function
    schema = fields.pop("parameters", None)
    if not isinstance(schema, dict):
        return fields if schema is None else {**fields, "parameters": schema}
    properties = schema.get("properties")
    parameters = properties if isinstance(properties, dict) else {}
    rest = {f"parameters.{key}": schema[key] for key in schema if key != "properties"}
    return {**fields, **rest, **{f"parameter {key}": parameters[key] for key in parameters}}


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
