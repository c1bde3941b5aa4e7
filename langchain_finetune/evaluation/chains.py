"""The app's chain, its model left open: how it is built, and what it is given."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import convert_to_messages
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.runnables.base import coerce_to_runnable

from langchain_finetune.content import entries, mapping
from langchain_finetune.errors import CompareError
from langchain_finetune.evaluation.answers import text_of
from langchain_finetune.evaluation.cases import without_instructions
from langchain_finetune.messages import wire_to_message

_BOUND = ("tools", "parallel_tool_calls", "response_format")
"""Settings of a recorded request that a model is bound to, if no chain is given."""


def takes_tools(chain: Callable[..., Any] | None) -> bool:
    """Return whether a chain is a function of the model and the tools.

    Raises:
        CompareError: It is not a function of one or two parameters.
    """
    if chain is None:
        return False
    if isinstance(chain, Runnable) or not callable(chain):
        raise CompareError(
            "chain must be a function that puts a model into your chain, such as "
            f"lambda model: prompt | model, not a {type(chain).__name__}."
        )
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = inspect.signature(chain).parameters.values()
    needed = [each for each in given if each.kind in kinds and each.default is each.empty]
    if len(needed) not in {1, 2}:
        raise CompareError(
            "chain must be a function of the model, or of the model and the tools, not of "
            f"{len(needed)} parameters."
        )
    return len(needed) == 2  # noqa: PLR2004 - model and tools


def wrapped_in(model: Any) -> str | None:
    """Return the field in which a binding, a retry or a fallback has the model, or None."""
    # Its own fields: a fallback hands on what it lacks to the model.
    fields = getattr(type(model), "model_fields", {})
    return next((name for name in ("bound", "runnable", "default") if name in fields), None)


def chat_model_of(model: Any) -> Any:
    """Return the language model inside of bindings, retries and fallbacks, or None."""
    while model is not None and not isinstance(model, BaseLanguageModel):
        field = wrapped_in(model)
        model = getattr(model, field) if field else None
    return model


def model_name(model: Any) -> str:
    """Return the name of a model for people, such as `gpt-4.1`."""
    inner = chat_model_of(model)
    for field in ("model_name", "model", "model_id", "azure_deployment", "name"):
        name = getattr(inner, field, None)
        if isinstance(name, str) and name:
            return name
    return type(inner if inner is not None else model).__name__


def metadata_of(model: Any) -> Mapping[str, Any]:
    """Return the metadata of a chat model, such as that of `FineTune`."""
    return mapping(getattr(chat_model_of(model), "metadata", None))


def takes_messages(chain: Any) -> bool:
    """Return whether a chain begins with a model, so that it is given messages."""
    first = chain.first if isinstance(chain, RunnableSequence) else chain
    return chat_model_of(first) is not None


def is_agent(chain: Any, *, with_tools: bool) -> bool:
    """Return whether a chain calls its tools itself, with several requests to the model.

    That is a graph of LangGraph, such as what `create_agent` returns, also as a step of a chain;
    and whatever takes tools, unless it is a sequence or a model, which make one request.
    """
    if _holds_graph(chain):
        return True
    return with_tools and not isinstance(chain, RunnableSequence) and not takes_messages(chain)


def _holds_graph(chain: Any) -> bool:
    # LangGraph is not a dependency: if it was not imported, this is not a graph.
    pregel = sys.modules.get("langgraph.pregel")
    if pregel is None:
        return False
    steps = chain.steps if isinstance(chain, RunnableSequence) else [getattr(chain, "bound", None)]
    return isinstance(chain, pregel.Pregel) or any(
        _holds_graph(step) for step in steps if step is not None
    )


def built(chain: Callable[..., Any] | None, model: Any, *tools: Any) -> Runnable[Any, Any]:
    """Return the chain of a model: a Runnable that is not a chat model is a whole chain already.

    Raises:
        CompareError: What `chain` returned is no Runnable.
    """
    if chain is None or chat_model_of(model) is None:
        whole: Runnable[Any, Any] = model
        return whole
    try:
        made: Runnable[Any, Any] = coerce_to_runnable(chain(model, *tools))
    except TypeError as error:
        raise CompareError(
            "chain failed to build your chain with the model; see the cause."
        ) from error
    return made


def bound_request(model: Any, inputs: Mapping[str, Any]) -> Runnable[Any, Any]:
    """Return a model bound to the tools and settings of a recorded request."""
    given = {name: inputs[name] for name in _BOUND if inputs.get(name) is not None}
    if functions := entries(inputs.get("functions")):
        given["tools"] = [{"type": "function", "function": each} for each in functions]
    bound: Runnable[Any, Any] = model.bind(**given) if given else model
    return bound


def request_messages(inputs: Mapping[str, Any]) -> list[BaseMessage]:
    """Return the messages of a case for a model without a chain.

    Raises:
        CompareError: The inputs of the example are not a chat.
    """
    sent = inputs.get("messages") or inputs.get("input")
    if isinstance(sent, str):
        return convert_to_messages([("user", sent)])
    if not isinstance(sent, list) or not sent:
        raise CompareError(
            "The dataset's examples hold no chat, so a model alone can't answer them: their inputs "
            f"are {', '.join(sorted(inputs)) or 'empty'}. Give Compare your chain (--chain), "
            "chain=lambda model: prompt | model."
        )
    if all(isinstance(mapping(each).get("role"), str) for each in sent):
        return [wire_to_message(each) for each in sent]
    return convert_to_messages(
        [
            {"role": each["type"], **each["data"]} if "data" in mapping(each) else each
            for each in sent
        ]
    )


def chat_input(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a recorded chat as the input of a chain: `messages`, `input` and `system`."""
    rest = without_instructions(messages)
    asked = [each for each in rest if each.get("role") == "user"]
    system = [text_of(each.get("content")) for each in messages[: len(messages) - len(rest)]]
    return {
        "messages": [wire_to_message(each) for each in rest],
        "input": text_of(asked[-1].get("content")) if asked else "",
        "system": "\n\n".join(system),
    }


def check_variables(chain: Any, given: Any) -> None:
    """Check that a chain's prompt gets its variables.

    Raises:
        CompareError: One is missing.
    """
    first = chain.first if isinstance(chain, RunnableSequence) else chain
    if not isinstance(first, BasePromptTemplate) or not isinstance(given, Mapping):
        return
    missing = sorted(set(first.input_variables) - given.keys())
    # A prompt takes a value that is not a dict for its only variable.
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise CompareError(
            f"The chain's prompt needs {names}; a case has {', '.join(map(repr, sorted(given)))}. "
            "Give Compare inputs=, a function from the case to your chain's input, such as "
            f"inputs=lambda case: {{{missing[0]!r}: case['input']}}."
        )
