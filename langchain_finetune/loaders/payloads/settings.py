"""What a request says beside its messages: tools, and the answer's format.

Sources of fact: the API references of OpenAI (chat, Responses), Anthropic and Amazon Bedrock, and
`langchain_core.utils.function_calling`.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, mapping
from langchain_finetune.loaders.payloads.data import entries
from langchain_finetune.loaders.payloads.json_schema import pydantic_format, strict_schema
from langchain_finetune.sessions import FineTuningSession


def add_settings(
    session: FineTuningSession, params: Mapping[str, Any], recorded: Mapping[str, Any] | None = None
) -> None:
    """Add to a session what the request said beside its messages.

    Args:
        session: Gets `tools`, `functions`, `parallel_tool_calls`, `response_format`.
        params: The request's fields, whichever provider's: `tools`, `functions`, `tool_choice`,
            `parallel_tool_calls`, `response_format`, `text`, `text_format`, ...
        recorded: `ls_structured_output_format` of LangChain's tracer.

    Raises:
        UnreadableChatError: The request said what the wire form can't say.
    """
    tools = params.get("tools")
    if tools:
        if not isinstance(tools, list):
            raise _unsupported_tools()
        session["tools"] = [read_tool(tool) for tool in tools]
    if functions := entries(params.get("functions")):
        session["functions"] = functions
    parallel = params.get("parallel_tool_calls")
    if mapping(params.get("tool_choice")).get("disable_parallel_tool_use") is True:
        parallel = False  # Anthropic's name for it.
    if isinstance(parallel, bool):
        session["parallel_tool_calls"] = parallel
    form = _response_format(params, recorded or {})
    if form is not None:
        session["response_format"] = form


def read_tool(tool: Any) -> dict[str, Any]:
    """Return a tool in OpenAI's chat form; its schema stays as it is, order included.

    Args:
        tool: OpenAI's chat form, or its flat form (Responses), Anthropic's
            `{name, description, input_schema}`, or Bedrock's `{"toolSpec": ...}`.

    Raises:
        UnreadableChatError: It is another kind of tool, such as one that the provider runs.

    Example:
        >>> read_tool({"name": "f", "input_schema": {"type": "object"}})
        {'type': 'function', 'function': {'name': 'f', 'parameters': {'type': 'object'}}}
    """
    tool = mapping(tool)
    kind = tool.get("type")
    if kind == "function" and isinstance(tool.get("function"), Mapping):
        return dict(tool)
    spec = mapping(tool.get("toolSpec"))
    if spec:
        schema = mapping(spec.get("inputSchema")).get("json")
        tool = {**spec, "inputSchema": schema}
    names = {"input_schema": "parameters", "inputSchema": "parameters"}
    known = ("name", "description", "parameters", "input_schema", "inputSchema", "strict")
    # Anthropic names the app's own tools `custom`, or not at all.
    own = kind == "function" or (kind in {None, "custom"} and names.keys() & tool.keys())
    if not own or not isinstance(tool.get("name"), str):
        raise _unsupported_tools()
    function = {names.get(key, key): value for key, value in tool.items() if key in known}
    return {"type": "function", "function": function}


def _unsupported_tools() -> UnreadableChatError:
    return UnreadableChatError(
        "unsupported_tools", "The run offers tools that OpenAI's chat form can't say."
    )


def _response_format(
    params: Mapping[str, Any], recorded: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the format that the request asked for, in the chat API's form."""
    if params.get("output_format") or mapping(params.get("output_config")).get("format"):
        raise _unsupported_format()  # Anthropic's schema has no name.
    form = params.get("response_format")
    text_format = params.get("text_format")
    if isinstance(text_format, Mapping) and isinstance(text_format.get("title"), str):
        # langsmith writes the schema of the class that `responses.parse` was given.
        schema = strict_schema(text_format)
        named = {"name": text_format["title"], "schema": schema, "strict": True}
        return {"type": "json_schema", "json_schema": named}
    if text_format is not None:
        raise _unsupported_format()
    flat = mapping(mapping(params.get("text")).get("format"))
    if flat.get("type") == "json_schema":
        named = {key: value for key, value in flat.items() if key != "type"}
        return {"type": "json_schema", "json_schema": named}
    if flat.get("type") == "json_object":
        return dict(flat)
    if isinstance(form, str):
        # For a class the tracer writes its repr: `<class 'app.Answer'>`.
        form = pydantic_format(form, recorded)
        if form is None:
            raise _unsupported_format()
    return dict(form) if isinstance(form, Mapping) else None


def _unsupported_format() -> UnreadableChatError:
    return UnreadableChatError(
        "unsupported_response_format", "The run doesn't hold the schema that was sent."
    )
