"""All rules of a supervised example: its keys, its messages one by one, and their order."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_finetune.checks.finding import Check, Finding
from langchain_finetune.checks.profiles import OPENAI, Profile
from langchain_finetune.checks.text import check_text
from langchain_finetune.checks.tools import check_calls, read_tools

_EXAMPLE_KEYS = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})
"""Keys of a supervised line."""

_NO_FUNCTIONS = "This engine takes tools only, not the older functions."


def check_example(
    example: Any, rules: Profile = OPENAI, *, line: bytes | None = None
) -> list[Finding]:
    """Return all findings in one supervised example (a parsed line of the training file).

    With `line`, the example as JSON, it need not be serialized again.

    Example:
        >>> [finding.code for finding in check_example({"messages": []})]
        ['no_messages']
    """
    if not isinstance(example, dict):
        return [Finding("not_an_object", "An example must be a JSON object.")]
    messages = example.get("messages")
    if not isinstance(messages, list) or not messages:
        return [Finding("no_messages", "`messages` must be a non-empty list.")]
    check = Check(rules)
    if not _EXAMPLE_KEYS.issuperset(example):
        _check_example_keys(example, check)
    if example.get("functions") is not None and not check.rules.functions:
        check.add("functions", _NO_FUNCTIONS)
    check.toolbox = read_tools(example, check)
    if check_messages(messages, check):
        roles = [message.get("role") for message in messages]
        _check_targets(messages, roles, check)
        _check_order(roles, check)
        _check_results(messages, roles, check)
    check_text(example, line, check)
    return list(dict.fromkeys(check.found)) if check.found else check.found


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings for which an example is rejected."""
    return [finding for finding in findings if finding.severity == "error"]


def _check_example_keys(example: dict[Any, Any], check: Check) -> None:
    if check.rules.response_format and (form := example.get("response_format")) is not None:
        check_format(form, check)
    known = _EXAMPLE_KEYS | ({"response_format"} if check.rules.response_format else set())
    unknown = [key for key in example if key not in known and example[key] is not None]
    if unknown:
        which = f"{len(unknown)} keys outside OpenAI's format; they are not trained on."
        check.add("unknown_key", f"The example has {which}", severity="warning")


def check_format(form: Any, check: Check) -> None:
    """Check a response format: a JSON schema has a name."""
    named = form.get("json_schema") if isinstance(form, dict) else None
    if isinstance(form, dict) and form.get("type") in ("text", "json_object"):
        return
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict) or not isinstance(named.get("name"), str):  # type: ignore[union-attr]
        text = "`response_format` must be a JSON schema with a name, in the form of a request."
        check.add("invalid_response_format", text)


def check_parts(index: int, role: str, parts: list[Any], check: Check) -> int:
    """Check a list of content parts, and return how many images are among them."""
    if not parts:
        check.add("no_content", "The list of content parts is empty.", index)
    elif role in check.rules.text_roles and all(map(_is_text, parts)):
        text = f"The text of a {role} message is a list of parts instead of a string."
        check.add("text_in_parts", text, index, "warning")
    images = 0
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            check.add("invalid_part", "A content part must have a type.", index)
        elif kind in ("text", "refusal"):
            if not isinstance(part.get(kind), str):
                check.add("invalid_part", f"A {kind} part must contain a string.", index)
        elif kind not in ("image_url", "input_audio", "file"):
            check.add("unknown_part", "A content part of an unknown type.", index)
        elif not isinstance(part.get(kind), dict):
            check.add("invalid_part", f"A {kind} part must contain an object.", index)
        elif kind not in check.rules.parts:
            check.add("unsupported_part", f"This engine cannot train on {kind} parts.", index)
        elif kind == "image_url":
            images += 1
            _check_image(index, role, part["image_url"], check)
    return images


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and type(part.get("text")) is str


def _check_image(index: int, role: str, image: Mapping[str, Any], check: Check) -> None:
    if role != "user":
        check.add("image_outside_user", "Images are allowed in user messages only.", index)
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith(("data:", "http://", "https://")):
        check.add("invalid_image", "An image needs a url: an http(s) address or a data URL.", index)
    elif not url.startswith("data:") and not check.rules.remote_images:
        check.add("remote_image", "This engine takes images in base64 only.", index)
    elif url.startswith("data:"):
        _check_data(index, url, check)
    if image.get("detail") not in (None, "auto", "low", "high", "original"):
        text = "An image's detail must be auto, low, high or original."
        check.add("invalid_image_detail", text, index)


def _check_data(index: int, url: str, check: Check) -> None:
    head, comma, data = url.partition(",")
    kind, *options = head.removeprefix("data:").split(";")
    if not comma or not data or "base64" not in options:
        check.add("invalid_image", "An image's data must be in base64.", index)
    elif (kind.lower() if kind != "image/jpg" else "image/jpeg") not in check.rules.image_types:
        check.add("image_type", "An image must be JPEG, PNG or WEBP.", index)
    # Four characters of base64 encode three bytes.
    if (len(data) - data.count("=", -2)) * 3 // 4 > check.rules.max_image_bytes:
        limit = check.rules.max_image_bytes // 2**20
        check.add("image_too_large", f"An image may have at most {limit} MB.", index)


def check_messages(messages: Sequence[Any], check: Check) -> bool:
    """Check each message by itself, and the number of images; return whether all are objects."""
    images = 0
    shaped = True
    keys = check.rules.keys
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            check.add("not_a_message", "A message must be a JSON object.", index)
            shaped = False
            continue
        role = message.get("role")
        allowed = keys.get(role) if isinstance(role, str) else None
        if allowed is None:
            check.add("unknown_role", "A message needs a role that the provider supports.", index)
            continue
        assert isinstance(role, str)
        if not allowed.issuperset(message):
            _check_keys(index, message, allowed, check)
        if (name := message.get("name")) is not None:
            _check_name(index, role, name, check)
        content = message.get("content")
        if isinstance(content, list):
            images += check_parts(index, role, content, check)
        elif role != "assistant" and not isinstance(content, str):
            check.add("no_content", f"A {role} message must have content.", index)
        if role == "assistant":
            _check_answer(index, message, content, check)
        elif role == "function" and message.get("name") is None:
            check.add("no_function_name", "A function message must have a name.", index)
        elif role == "tool" and not isinstance(message.get("tool_call_id"), str):
            check.add("no_tool_call_id", "A tool message must have the id of its call.", index)
    if images > check.rules.max_images:
        text = f"{images} images; at most {check.rules.max_images} are allowed."
        check.add("too_many_images", text)
    return shaped


def _check_answer(index: int, message: Mapping[str, Any], content: Any, check: Check) -> None:
    weight = message.get("weight")
    # In JSON, unlike Python, true is not a number.
    if weight is not None and (weight not in (0, 1) or isinstance(weight, bool)):
        check.add("invalid_weight", "An assistant message's weight must be 0 or 1.", index)
    calls = message.get("tool_calls")
    legacy = message.get("function_call")
    if legacy is not None and not check.rules.functions:
        check.add("functions", _NO_FUNCTIONS, index)
    if calls is not None or legacy is not None:
        check_calls(index, message, check)
    empty = False
    if isinstance(content, str):
        empty = not content or content.isspace()
    elif isinstance(content, list):
        empty = bool(content) and not any(map(_is_not_blank, content))
    elif content is not None:
        check.add("invalid_content", "Content must be text or a list.", index)
    elif not calls and not legacy:
        check.add("no_content", "An assistant message must have content or calls.", index)
    if empty and weight != 0 and not (calls or legacy or message.get("refusal")):
        check.add("empty_target", "An answer to train on has neither text nor calls.", index)


def _is_not_blank(part: Any) -> bool:
    """Return whether a content part is more than blank text; others are checked elsewhere."""
    if not isinstance(part, dict) or part.get("type") not in ("text", "refusal"):
        return True
    text = part.get(part["type"])
    return not isinstance(text, str) or bool(text.strip())


def _check_keys(
    index: int, message: Mapping[str, Any], allowed: frozenset[str], check: Check
) -> None:
    """Check the keys that a message of this role should not have; null counts as missing."""
    unknown = {key for key, value in message.items() if key not in allowed and value is not None}
    if message["role"] != "assistant":
        if message.get("tool_calls") or message.get("function_call"):
            check.add("calls_outside_assistant", "Only assistant messages can call tools.", index)
        if "weight" in unknown:
            text = "Only assistant messages can have a weight."
            check.add("weight_outside_assistant", text, index)
        unknown -= {"tool_calls", "function_call", "weight"}
    if unknown:
        which = f"{len(unknown)} keys outside OpenAI's format; they are not trained on."
        check.add("unknown_key", f"A {message['role']} message has {which}", index, "warning")


def _check_name(index: int, role: str, name: Any, check: Check) -> None:
    if not isinstance(name, str):
        check.add("invalid_name", "A message's name must be a string.", index)
    # A tool message's name is the tool's; no provider checks it.
    elif role != "tool" and not re.fullmatch(check.rules.message_name, name):
        text = "A message's name must be 1 to 64 characters, without spaces and < | \\ / >."
        check.add("invalid_name", text, index)


def _check_targets(
    messages: Sequence[Mapping[str, Any]], roles: Sequence[Any], check: Check
) -> None:
    last = messages[-1]
    if "assistant" not in roles:
        check.add("no_assistant_message", "There is nothing to train on: no assistant message.")
    elif roles[-1] != "assistant":
        check.add("no_final_answer", "The last message must be the assistant's.")
    elif last.get("weight") == 0 and not any(map(is_target, messages)):
        check.add("no_target", "There is nothing to train on: every assistant weight is 0.")
    elif check.rules.text_answer_last and (last.get("tool_calls") or last.get("function_call")):
        place = len(messages) - 1
        check.add("call_last", "The last message should be a text answer, not a call.", place)


def is_target(message: Mapping[str, Any]) -> bool:
    """Return whether a message is an answer that is trained on."""
    return message.get("role") == "assistant" and message.get("weight") != 0


def _check_order(roles: Sequence[Any], check: Check) -> None:
    """Check for orders that some chat templates refuse; OpenAI accepts them."""
    begun = False
    before = None
    for index, role in enumerate(roles):
        if role == "assistant":
            if before == "assistant":
                check.add("consecutive_answers", "Two assistant messages in a row.", index)
            begun = True
        elif role in ("system", "developer"):
            if begun:
                check.add("late_system", "Instructions after the start of the chat.", index)
        else:
            begun = True
        before = role


def _check_results(
    messages: Sequence[Mapping[str, Any]], roles: Sequence[Any], check: Check
) -> None:
    """Check that tool messages answer the calls before them, and that no call is unanswered."""
    waiting: list[str] = []
    called_at = 0
    used: set[str] = set()
    for index, message in enumerate(messages):
        if roles[index] == "tool":
            call_id = message.get("tool_call_id")
            if call_id in waiting:
                waiting.remove(call_id)
            else:
                check.add("unasked_tool_result", "A tool message answers no open call.", index)
            continue
        if waiting:
            check.add("unanswered_tool_call", "A tool call was never answered.", called_at)
            waiting = []
        if calls := message.get("tool_calls"):
            calls = calls if isinstance(calls, list) else ()
            ids = [call.get("id") for call in calls if isinstance(call, dict)]
            waiting = [call_id for call_id in ids if isinstance(call_id, str)]
            called_at = index
            if not used.isdisjoint(waiting):
                text = "A call has the id of an earlier call."
                check.add("reused_call_id", text, index, "warning")
            used.update(waiting)
    # Calls of the last message are the answer to train on; they need no results.
