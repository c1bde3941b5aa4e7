"""The chat of an `llm` run as LangChain's tracer writes it.

Shape (langchain-core 1.7): `inputs.messages = [[message, ...]]`,
`outputs.generations = [[{"message": message, ...}]]`,
`extra.invocation_params = {"tools": [...], ...}`. Data of 2023 is flat: one level of lists less.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.loaders.payloads.messages import read_message
from langchain_finetune.messages import UnreadableChatError, WireMessages
from langchain_finetune.sessions import FineTuningSession


def read_run(run: Mapping[str, Any]) -> FineTuningSession:
    """Return the chat of a run: what was sent, then what came back, and the tools.

    Args:
        run: The run's JSON with `id`, `run_type`, `inputs`, `outputs`, `extra`, `error`, ...

    Raises:
        UnreadableChatError: The run holds no finished chat that the wire form can say.
    """
    _require_finished(run)
    sent = _only(_mapping(run.get("inputs")).get("messages"), "messages")
    answer = _mapping(_only(_mapping(run.get("outputs")).get("generations"), "generations")[0])
    if "message" not in answer:
        raise UnreadableChatError("no_chat", "The run's answer is no chat message.")
    wire = [read_message(message) for message in sent]
    wire.append(read_message(answer["message"]))
    session: FineTuningSession = {"messages": WireMessages(wire), "source": _source(run)}
    _add_settings(session, _mapping(run.get("extra")))
    return session


def _require_finished(run: Mapping[str, Any]) -> None:
    run_type = str(run.get("run_type", "llm")).lower()
    if run_type != "llm":
        raise UnreadableChatError("not_an_llm_run", f"A run of type {run_type}; llm is needed.")
    # An errored run can still hold an empty answer, so outputs alone don't tell.
    if run.get("error") or str(run.get("status", "")).lower() == "error":
        raise UnreadableChatError("errored_run", "The run ended with an error.")
    if not run.get("outputs"):
        raise UnreadableChatError("pending_run", "The run has no outputs yet.")


def _only(batch: Any, name: str) -> list[Any]:
    """Return the one list in a batch of lists; a flat list (2023) is that list itself."""
    if not isinstance(batch, list) or not batch:
        raise UnreadableChatError("no_chat", f"The run has no {name}.")
    if not isinstance(batch[0], list):
        rows = batch
    elif len(batch) == 1:
        rows = batch[0]
    else:
        raise UnreadableChatError("several_chats", f"The run holds {len(batch)} chats at once.")
    if not rows:
        raise UnreadableChatError("no_chat", f"The run has no {name}.")
    if name == "generations" and len(rows) > 1:
        raise UnreadableChatError(
            "several_answers", f"The model gave {len(rows)} answers; which is right is not known."
        )
    return rows


def _source(run: Mapping[str, Any]) -> dict[str, str]:
    source = {"run_id": str(run.get("id"))}
    if run.get("trace_id"):
        source["trace_id"] = str(run["trace_id"])
    return source


def _add_settings(session: FineTuningSession, extra: Mapping[str, Any]) -> None:
    """Add what the request said beside its messages."""
    options = _mapping(extra.get("options"))
    params = {**options, **_mapping(extra.get("invocation_params"))}
    if tools := params.get("tools"):
        if not all(_is_function_tool(tool) for tool in tools):
            raise UnreadableChatError(
                "unsupported_tools", "The run offers tools of another form than OpenAI's functions."
            )
        session["tools"] = tools
    if functions := params.get("functions"):
        session["functions"] = functions
    if isinstance(params.get("parallel_tool_calls"), bool):
        session["parallel_tool_calls"] = params["parallel_tool_calls"]
    response_format = params.get("response_format")
    if isinstance(response_format, Mapping):
        session["response_format"] = dict(response_format)
    elif response_format is not None:
        # For a class the tracer writes its repr; the schema that was sent is not in the run.
        raise UnreadableChatError(
            "unsupported_response_format", "The run's response format is not recorded as a schema."
        )


def _is_function_tool(tool: Any) -> bool:
    return _mapping(tool).get("type") == "function" and isinstance(tool.get("function"), Mapping)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
