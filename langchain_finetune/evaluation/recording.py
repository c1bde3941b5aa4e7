"""Tools that answer from a recording, and the watch that no other tool is executed."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tracers.context import register_configure_hook
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from langchain_finetune.content import entries, mapping
from langchain_finetune.convert.fingerprints import plain_arguments
from langchain_finetune.evaluation.answers import functions_of
from langchain_finetune.evaluation.failures import NOT_RECORDED

UNSEEN = "The tool returned no result."
"""Result of a call that was not recorded, for the model; it says nothing about the cause."""

_REPLAY = "langchain_finetune_replay"


class ToolNotRunError(Exception):
    """A tool of the chain's own was about to be executed, which was not asked for."""


def recorded_calls(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the calls of a chat that have a result: `{"name", "arguments", "result"}`.

    Example:
        >>> recorded_calls([{"role": "user", "content": "Hi"}])
        []
    """
    results = {
        str(each["tool_call_id"]): each.get("content")
        for each in messages
        if each.get("role") == "tool" and each.get("tool_call_id")
    }
    found = []
    for place, message in enumerate(messages):
        for call in entries(message.get("tool_calls")):
            if str(call.get("id")) in results:
                function = mapping(call.get("function"))
                found.append(_recorded(function, results[str(call["id"])]))
        following = messages[place + 1 : place + 2]
        if message.get("function_call") and following and following[0].get("role") == "function":
            found.append(_recorded(functions_of(message)[-1], following[0].get("content")))
    return found


def _recorded(function: Mapping[str, Any], result: Any) -> dict[str, Any]:
    return {
        "name": function.get("name"),
        "arguments": function.get("arguments") or "{}",
        "result": "" if result is None else result,
    }


class Recording:
    """The recorded tool results of a case, for one run of a chain.

    A call that was recorded several times gets its results in order, and then the last one again.

    Args:
        calls: As `recorded_calls` returns them.

    Attributes:
        unseen: Number of calls for which there was no result.

    Example:
        >>> recording = Recording([{"name": "add", "arguments": '{"b":2,"a":1}', "result": "3"}])
        >>> recording.result("add", {"a": 1, "b": 2}), recording.result("add", {"a": 2, "b": 2})
        ('3', None)
        >>> recording.unseen
        1
    """

    def __init__(self, calls: Iterable[Mapping[str, Any]]) -> None:
        self._results: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for call in calls:
            self._results[str(call.get("name")), _key(call.get("arguments"))].append(
                call.get("result")
            )
        self._lock = threading.Lock()
        self.unseen = 0

    def result(self, name: str, arguments: Any) -> Any:
        """Return the recorded result of a call; None, counted, if there is none."""
        with self._lock:
            found = self._results.get((name, _key(arguments)))
            if not found:
                self.unseen += 1
                return None
            return found.pop(0) if len(found) > 1 else found[0]


def _key(arguments: Any) -> str:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
    try:
        return plain_arguments(text or "{}")
    except (ValueError, RecursionError):
        return text


class ReplayedTool(BaseTool):
    """A tool that looks like another one to a model, and answers from a recording."""

    _recording: Recording = PrivateAttr()

    def _run(self, **arguments: Any) -> Any:
        found = self._recording.result(self.name, arguments)
        if found is None:
            raise ToolException(UNSEEN)
        return found


def replayed(tools: Iterable[Any], recording: Recording) -> list[Any]:
    """Return tools with the names and schemas of the given ones, which answer from a recording.

    A provider's own tool, such as `{"type": "web_search"}`, stays as it is: no app executes it.
    """
    return [_replay(tool, recording) for tool in tools]


def _replay(tool: Any, recording: Recording) -> Any:
    function = convert_to_openai_tool(tool).get("function")
    if function is None:
        return tool
    name, about = function["name"], function.get("description") or ""
    # A JSON schema, unlike a class, hands on the arguments as the model wrote them.
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    made = ReplayedTool(
        name=name,
        description=about,
        args_schema={"title": name, "description": about, **schema},
        metadata={_REPLAY: True},
        handle_tool_error=True,
        return_direct=getattr(tool, "return_direct", False),
    )
    made._recording = recording  # noqa: SLF001 - a field would be among the model's arguments
    return made


class ChainWatch(BaseCallbackHandler):
    """Stops each tool that is not a replay before it is executed, and keeps the requests.

    Within `active`, it is among the callbacks of all tools and models, also of those that get none
    of the chain's: `tool.run(...)`, or `callbacks=[]`. Only code that leaves the context escapes
    it, such as a thread of the app's own, and so does a tool's function that is called directly.

    Args:
        run_tools: Whether tools are executed.

    Attributes:
        stopped: Names of the tools that were stopped.
        unrecorded: Whether a model that answers from a recording had no answer.
        requests: The messages of each request to a chat model.
    """

    raise_error = True
    run_inline = True

    def __init__(self, *, run_tools: bool) -> None:
        self._run_tools = run_tools
        self.stopped: list[str] = []
        self.unrecorded = False
        self.requests: list[list[BaseMessage]] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Watch all that is called in this context."""
        before = _watch.set(self)
        try:
            yield
        finally:
            _watch.reset(before)

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **_: Any
    ) -> None:
        """Keep the messages."""
        del serialized
        self.requests += messages

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        """Take note of a request that was not recorded, whatever the chain does about it."""
        self.unrecorded |= getattr(error, "code", None) == NOT_RECORDED

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
        """Raise, which ends the tool's run before its function is called."""
        del input_str
        if self._run_tools or (kwargs.get("metadata") or {}).get(_REPLAY):
            return
        self.stopped.append(str((serialized or {}).get("name")))
        raise ToolNotRunError(how_to_run(self.stopped[-1]))


_watch: ContextVar[Any] = ContextVar("chain_watch", default=None)
register_configure_hook(_watch, inheritable=True)


def how_to_run(tool: str) -> str:
    """Return what to do so that a chain's own tool gets results."""
    return (
        f"The chain holds the tool {tool!r} itself, which was not executed. Give Compare "
        "tools=[...] (--tools) and a chain of two parameters, chain=lambda model, tools: ..., so "
        "that calls are answered from the recording; or run_tools=True to execute the tools."
    )
