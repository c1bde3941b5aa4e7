"""Compares what the loader makes of an app's runs with what the model's provider received."""

import json
import re

from provider_stub import chat_form

from langchain_finetune import Convert, LangSmithRunChatLoader
from support.chat_form import settled

FIELDS = ("messages", "system", "tools", "answer", "temperature", "tool_choice", "response_format")
"""What is compared of each call: `messages` are those after the instructions."""

INSTRUCTIONS = ("system", "developer")
NO_SCHEMA = ("title", "additionalProperties", "$schema", "description", "strict", "default")


def case_of(data):
    found = re.search(r"Case (\w+):", json.dumps(data))
    return found[1] if found else "?"


def key_of(line):
    """The case of a call, and how many results of tools it has."""
    return case_of(line), sum(each["role"] == "tool" for each in line["messages"])


def loaded(client, project):
    """The calls that the loader finds in a project, in the form of `chat_form`, and the skips."""
    sessions = LangSmithRunChatLoader(project_name=project, client=client).invoke({})
    found = {}
    for session in sessions:
        for line in map(settled, Convert(fix=True).invoke([session])):
            sampling = session.get("sampling") or {}
            found[key_of(line)] = {
                "messages": line["messages"],
                "tools": line.get("tools") or [],
                "temperature": sampling.get("temperature"),
                "tool_choice": sampling.get("tool_choice"),
                "response_format": bool(session.get("response_format")),
            }
    return found, [skip.code for skip in sessions.skipped]


def differences(stub, client, project):
    """What differs, by case and field; a call that is not there at all has the field `call`."""
    found, skips = loaded(client, project)
    sent = [chat_form(*each) for each in stub.requests]
    differing = {}
    for line in sent:
        key = key_of(line)
        if '"?"' in json.dumps(line["messages"]):
            # Gemini's calls have no ids: whichever were made up are as good.
            _forget_ids(line)
            _forget_ids(found.get(key))
        if key not in found:
            differing[key, "call"] = ("sent", skips)
            continue
        for field, (want, got) in compared(line, found[key]).items():
            if want != got:
                differing[key, field] = (want, got)
    return sent, differing


def _forget_ids(line):
    for message in line["messages"] if line else ():
        if "tool_call_id" in message:
            message["tool_call_id"] = "?"
        for call in message.get("tool_calls") or ():
            call["id"] = "?"


def compared(sent, found):
    """Both values of each field."""
    one, other = _fields(sent), _fields(found)
    return {field: (one[field], other[field]) for field in FIELDS}


def _fields(line):
    messages = [_message(each) for each in line["messages"]]
    return {
        "system": [each for each in messages if each["role"] in INSTRUCTIONS],
        "messages": [each for each in messages[:-1] if each["role"] not in INSTRUCTIONS],
        "answer": messages[-1],
        "tools": [_tool(each) for each in line["tools"]],
        "temperature": line["temperature"],
        "tool_choice": _choice(line["tool_choice"]),
        "response_format": line["response_format"],
    }


def _message(message):
    """A message without what is only a matter of form: ids made up for Gemini, names of tools."""
    content = message.get("content")
    if isinstance(content, dict):  # Gemini's results are objects: `{"output": ...}`.
        content = str(next(iter(content.values()))) if len(content) == 1 else json.dumps(content)
    if isinstance(content, list):
        content = "".join(part.get("text", "?") for part in content)
    if message["role"] == "tool" and (found := re.fullmatch(r'{"\w+":"?(\w+)"?}', content or "")):
        content = found[1]
    made = {"role": message["role"], "content": content or None}
    calls = message.get("tool_calls") or []
    if calls:
        made["calls"] = [
            {"id": call["id"], **{key: call["function"][key] for key in ("name", "arguments")}}
            for call in calls
        ]
    if message["role"] == "tool":
        made["tool_call_id"] = message["tool_call_id"]
    return made


def _tool(tool):
    """A tool by name, description and the names and types of its arguments."""
    function = tool["function"]
    schema = function.get("parameters") or {}
    types = {
        name: str(each.get("type")).lower() for name, each in schema.get("properties", {}).items()
    }
    return function["name"], function.get("description") or None, types


def _choice(choice):
    """A choice of tools by its kind or the tool's name; the default is the same as none."""
    if isinstance(choice, dict):
        name = choice.get("name") or (choice.get("function") or {}).get("name")
        return name or _choice(choice.get("type"))
    return {"auto": None, "any": "required"}.get(choice, choice)
