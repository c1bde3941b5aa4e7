"""The content of a message in the form of OpenAI's chat API, converted from any provider's blocks.

Sources: `langchain_openai` (`_format_message_content`), `langchain_core`
(`convert_to_openai_data_block`), the API references of OpenAI (chat, Responses), Anthropic and
Gemini, `@langchain/google-genai` and `@langchain/google` (`convertGeminiPartToContentBlock`), and
LangSmith's wrappers of Gemini's SDK and the AI SDK (`convertMessageToTracedFormat`).
"""

import json
from collections.abc import Mapping
from typing import Any

INSTRUCTIONS = frozenset({"system", "developer"})
"""Roles of instructions."""

_TEXT = frozenset({"text", "input_text", "output_text", "text-plain"})
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_CALLS = frozenset(
    {
        *("tool_use", "tool_call", "function_call", "invalid_tool_call", "input_json_delta"),
        *("tool-call", "functionCall"),
    }
)
_UNSEEN = frozenset({"tool-approval-request", "tool-approval-response", "cachePoint"})
"""Blocks for the app or the provider's cache, which the model does not see."""

_NOTES = frozenset({"anthropic.message_start", "anthropic.fallback"})
"""Kinds of the AI SDK's `custom` blocks that describe an answer, and are not part of it."""

_BUILT_IN = ("_call", "_call_output", "_tool_result", "_tool_use", "_approval_request")
_CODE = frozenset(
    {"executableCode", "codeExecutionResult", "executable_code", "code_execution_result"}
)
_GEMINI = {
    "text": "text",
    "functionCall": "functionCall",
    "function_call": "function_call",
    "functionResponse": "functionResponse",
    "function_response": "function_response",
    "inlineData": "inlineData",
    "inline_data": "inlineData",
    "fileData": "fileData",
    "file_data": "fileData",
    **{key: key for key in _CODE},
}
"""Kinds of Gemini's parts, which have no type, by the key that they have."""


_IMAGES = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}
"""Beginnings of images in base64."""


class UnreadableChatError(ValueError):
    """A chat cannot be represented in OpenAI's wire form, or makes no training example.

    Loaders and `Convert` turn it into a `Skip`.

    Args:
        code: Stable name of the reason, such as `unsupported_content`.
        message: One sentence without training text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def wire_content(content: Any, *, answer: bool = False, reasoning: list[str] | None = None) -> Any:
    """Return content in the form of OpenAI's chat API: text, or a list of parts.

    It is text, None, or a list of text and blocks of OpenAI (chat, Responses), Anthropic or
    LangChain. In an `answer` it may contain calls and reasoning, which are not content in the wire
    form: see `content_calls` for the calls; the texts of reasoning blocks are added to `reasoning`,
    "" for an encrypted one.

    Raises:
        UnreadableChatError: It cannot be represented in the wire form.

    Example:
        >>> wire_content([{"type": "input_text", "text": "Hi"}])
        [{'type': 'text', 'text': 'Hi'}]
    """
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list | tuple):
        raise UnreadableChatError("unsupported_content", "Content must be text or a list.")
    parts = []
    for block in content:
        part = {"type": "text", "text": block} if isinstance(block, str) else mapping(block)
        if part.get("type") == "non_standard":
            part = mapping(part.get("value"))
        kind = kind_of(part)
        if answer and (kind in _REASONING or (kind == "text" and part.get("thought") is True)):
            if reasoning is not None:
                reasoning.append(reasoning_text(part))
        elif kind == "custom" and part.get("kind") in _NOTES:
            continue
        elif kind not in _UNSEEN and not (answer and kind in _CALLS):
            parts.append(_part(kind, part))
    return parts


def kind_of(part: Mapping[str, Any]) -> Any:
    """Return the type of a block; one of Gemini's is named by the key that it has."""
    if part.get("type") is not None:
        return part["type"]
    return next((kind for key, kind in _GEMINI.items() if part.get(key) is not None), None)


def join_text(message: dict[str, Any]) -> None:
    """Join an assistant's text parts to one text, and move a refusal part to `refusal`.

    OpenAI's `output_text` and LangChain's `text` join text parts in the same way.
    """
    content = message["content"]
    if not isinstance(content, list):
        return
    if all(part["type"] == "text" for part in content):
        message["content"] = "".join(part["text"] for part in content)
    elif len(content) == 1 and content[0]["type"] == "refusal":
        message["refusal"] = content[0]["refusal"]
        message["content"] = None


def joined_text(content: Any) -> Any:
    """Return text in parts as one string; other content unchanged."""
    parts = [mapping(part) for part in entries(content)]
    if isinstance(content, list) and all(part.get("type") == "text" for part in parts):
        return "".join(part.get("text") or "" for part in parts)
    return content


def content_calls(content: Any) -> list[dict[str, Any]]:
    """Return the tool calls in an answer's content, in wire form.

    Example:
        >>> content_calls([{"type": "tool_use", "id": "1", "name": "f", "input": {"x": 2}}])
        [{'id': '1', 'type': 'function', 'function': {'name': 'f', 'arguments': '{"x": 2}'}}]
    """
    calls: list[dict[str, Any]] = []
    for block in content if isinstance(content, list) else ():
        part = mapping(block)
        kind = kind_of(part)
        nested = mapping(part.get("functionCall") or part.get("function_call"))
        if kind in ("functionCall", "function_call") and nested:
            given = nested.get("args", nested.get("arguments"))
            calls.append(wire_call(nested.get("id"), nested.get("name"), given or {}))
        elif kind == "function_call":
            calls.append(wire_call(part.get("call_id"), part.get("name"), part.get("arguments")))
        elif kind == "tool_use":
            # While streaming, `input` is empty and the text is in `partial_json`.
            given = part.get("partial_json") or part.get("input")
            calls.append(wire_call(part.get("id"), part.get("name"), given))
        elif kind == "input_json_delta" and calls:
            # LangChain.js keeps the streamed text of the call before it as a block.
            function = calls[-1]["function"]
            before = function["arguments"] if function["arguments"] != "{}" else ""
            function["arguments"] = before + str(part.get("input") or "")
        elif kind == "tool-call":
            if part.get("providerExecuted"):
                raise _built_in()
            given = part.get("input", part.get("args"))
            text = given if isinstance(given, str) else compact_json(given or {})
            calls.append(wire_call(part.get("toolCallId"), part.get("toolName"), text))
        elif kind in _CALLS and kind != "input_json_delta":
            calls.append(wire_call(part.get("id"), part.get("name"), part.get("args")))
    return calls


def compact_json(value: Any) -> str:
    """Return JSON without spaces, as JavaScript writes it.

    Raises:
        UnreadableChatError: JSON cannot represent the value.
    """
    return json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
        default=refuse_value,
    )


def wire_call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """Return a tool call in wire form; its arguments are data, or text that may be invalid JSON.

    Raises:
        UnreadableChatError: The arguments cannot be represented in JSON.
    """
    if arguments is None:
        arguments = ""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, allow_nan=False, default=refuse_value)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def refuse_value(value: object) -> Any:
    """Reject a value that JSON cannot represent; for use as an encoder's `default`."""
    raise UnreadableChatError("unreadable_value", f"A value of type {type(value).__name__}.")


def reasoning_text(block: Mapping[str, Any]) -> str:
    """Return the text of a reasoning block of any provider; empty if it is encrypted."""
    for field in ("thinking", "reasoning", "text", "reasoning_content", "content", "summary"):
        value = block.get(field)
        if isinstance(value, Mapping):
            value = value.get("text")
        if isinstance(value, list):
            texts = [mapping(part).get("text") for part in value]
            value = "\n\n".join(text for text in texts if isinstance(text, str))
        if isinstance(value, str) and value:
            return value
    return ""


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping unchanged, and an empty one for any other value."""
    # Nearly all values are dicts or None, for which checking takes a tenth of the time.
    if isinstance(value, dict):
        return value
    return value if value is not None and isinstance(value, Mapping) else {}


def entries(value: Any) -> list[Any]:
    """Return a list unchanged, and an empty one for any other value."""
    return value if isinstance(value, list) else []


def _part(kind: Any, part: Mapping[str, Any]) -> dict[str, Any]:
    """Return one block as a part of OpenAI's content."""
    if kind in _TEXT and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "image":
        return _image(part)
    if kind == "image_url" and isinstance(part.get("image_url"), str):
        return _image_url(part["image_url"], part.get("detail"))
    if kind == "input_image" and part.get("image_url"):
        return _image_url(part["image_url"], part.get("detail"))
    if kind in {"file", "input_file"}:
        return _file(part)
    if kind in {"media", "inlineData", "fileData"}:
        source = mapping(part.get(kind) or part.get("inline_data") or part.get("file_data")) or part
        return _media(source)
    if kind == "audio" and part.get("mime_type") and _data(part):
        return _sound(part["mime_type"], _data(part))
    if kind in {"image_url", "input_audio", "refusal"} and part.get(str(kind)):
        return {key: value for key, value in part.items() if key != "index"}
    if (
        str(kind).endswith(_BUILT_IN)
        or str(kind).startswith(("server_tool", "mcp_", "source"))
        or kind in _CODE
    ):
        raise _built_in()
    raise UnreadableChatError(
        "unsupported_content", "A content part of a type that OpenAI's chat API does not support."
    )


def _built_in() -> UnreadableChatError:
    return UnreadableChatError(
        "builtin_tool_call", "Chat messages cannot represent the use of a provider's own tool."
    )


def _image_url(url: Any, detail: Any = None) -> dict[str, Any]:
    return {"type": "image_url", "image_url": _without_none({"url": url, "detail": detail})}


def _sound(mime_type: Any, data: Any) -> dict[str, Any]:
    kind = str(mime_type).split("/")[-1].removeprefix("x-")
    return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


def _media(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return data of Gemini's API (`mimeType`, `data` or `fileUri`) as an OpenAI part."""
    kind = str(source.get("mimeType") or source.get("mime_type") or "")
    url = str(source.get("fileUri") or source.get("file_uri") or "")
    if kind.startswith("image/") and url.startswith(("http://", "https://", "data:")):
        return _image_url(url)
    if not kind or not isinstance(source.get("data"), str):
        raise UnreadableChatError("unsupported_content", "A file without data.")
    return _file({"file": {"file_data": f"data:{kind};base64,{source['data']}"}})


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image block of LangChain or Anthropic as OpenAI's `image_url`."""
    source = mapping(part.get("source")) or part
    data = _data(source)
    kind = source.get("mime_type") or source.get("media_type") or source.get("mimeType")
    url = _data_url(kind or "image", data) if data else source.get("url")
    if not url:
        raise UnreadableChatError("unsupported_content", "An image without data or URL.")
    return _image_url(url)


def _data_url(kind: Any, data: Any) -> str | None:
    """Return data in base64 as a URL, or None if its type is not known.

    As in the AI SDK, a type without its second half (`image`, `image/*`) is detected from the data.
    """
    text = str(data)
    if text.startswith(("data:", "http://", "https://")):
        return text
    if str(kind).removesuffix("/*") == "image":
        kind = next((name for start, name in _IMAGES.items() if text.startswith(start)), None)
    return f"data:{kind};base64,{text}" if kind else None


def _file(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file part of OpenAI (chat, Responses) or LangChain as one of OpenAI's chat API."""
    file = mapping(part.get("file"))
    if part.get("mediaType") and part.get("data"):  # The AI SDK's own.
        url = _data_url(part["mediaType"], part["data"])
        file = {"file_data": url, "filename": part.get("filename")}
    if file:
        # The AI SDK's tracer writes images and sounds as files: their data says what they are.
        data = str(file.get("file_data") or "")
        head, _, encoded = data.partition(";base64,")
        is_url = data.startswith(("http://", "https://"))
        if data.startswith("data:image/") or (is_url and not data.lower().endswith(".pdf")):
            return _image_url(data)
        if is_url:
            raise UnreadableChatError("unsupported_content", "A file without data or id.")
        if data.startswith("data:audio/") and encoded:
            kind = head.removeprefix("data:")
            return _sound("audio/mp3" if kind == "audio/mpeg" else kind, encoded)
        file = _without_none(dict(file))
    else:
        known = ("file_data", "file_id", "filename")
        named = {**part, **mapping(part.get("metadata")), **mapping(part.get("extras"))}
        file = _without_none({key: named.get(key) for key in known})
        if part.get("source_type") == "id":
            file["file_id"] = part.get("id")
        elif _data(part) and part.get("mime_type"):
            data = f"data:{part['mime_type']};base64,{_data(part)}"
            # langchain-core sends this name if there is none.
            file = {"file_data": data, "filename": file.get("filename", "LC_AUTOGENERATED")}
    if not (file.get("file_data") or file.get("file_id")):
        raise UnreadableChatError("unsupported_content", "A file without data or id.")
    return {"type": "file", "file": dict(file)}


def _data(part: Mapping[str, Any]) -> Any:
    return part.get("base64") or part.get("data")


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
