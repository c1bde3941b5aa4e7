"""The tools that an example offers, and the calls that the assistant makes of them."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from langchain_finetune.checks.finding import (
    NOTHING,
    Check,
    Severity,
    Tangled,
    Toolbox,
    Validator,
)
from langchain_finetune.checks.profiles import Profile
from langchain_finetune.checks.schema_cost import is_tangled, takes_too_long
from langchain_finetune.checks.text import HALVES

_UNREADABLE = Toolbox({}, known=False)
_UNUSABLE = (
    jsonschema_rs.ValidationErrorKind.Referencing,
    jsonschema_rs.ValidationErrorKind.Format,
)
"""A schema may be right and still not be usable here: a reference, or a language of patterns."""


def read_tools(example: Mapping[str, Any], check: Check) -> Toolbox:
    """Return what an example offers; what is wrong with it is noted."""
    boxes = []
    for field in ("tools", "functions"):
        tools = example.get(field)
        if tools is None:
            continue
        if not isinstance(tools, list):
            check.add(f"invalid_{field}", f"{field} must be a list.")
            boxes.append(_UNREADABLE)
            continue
        try:
            # The same tools come again in thousands of examples: they are read once.
            box = _toolbox(orjson.dumps(tools), field, check.rules)
        except TypeError:
            box = _UNREADABLE  # The check of the whole line says why.
        check.found.extend(box.findings)
        boxes.append(box)
    _check_parallel(example, check)
    if not boxes:
        return NOTHING
    if len(boxes) == 1:
        return boxes[0]
    validators = {**boxes[0].validators, **boxes[1].validators}
    return Toolbox(validators, known=all(box.known for box in boxes))


def _check_parallel(example: Mapping[str, Any], check: Check) -> None:
    parallel = example.get("parallel_tool_calls")
    if parallel is None:
        return
    if not isinstance(parallel, bool):
        check.add("invalid_parallel_tool_calls", "parallel_tool_calls must be true or false.")
    elif not example.get("tools"):
        check.add("parallel_without_tools", "parallel_tool_calls is only for examples with tools.")


@lru_cache(maxsize=1024)
def _toolbox(data: bytes, field: str, rules: Profile) -> Toolbox:
    tools = orjson.loads(data)
    check = Check(rules)
    if not tools:
        check.add(f"empty_{field}", f"{field} is an empty list; leave it out.")
    if len(tools) > rules.max_tools:
        check.add(
            f"too_many_{field}",
            f"{len(tools)} {field}; at most {rules.max_tools} are allowed.",
        )
    validators: dict[str, tuple[Validator | Tangled | None, ...]] = {}
    for tool in tools:
        function = _function_of(tool, field, check)
        if function is None:
            continue
        name = function["name"]
        if not re.fullmatch(rules.function_name, name):
            check.add(
                "invalid_tool_name",
                f"The name of one of {field} must be 1 to 64 letters, digits, _ and -.",
            )
        if name in validators:
            check.add(
                "duplicate_tool_name", f"Two of {field} have the same name.", severity="warning"
            )
        validators[name] = (*validators.get(name, ()), _compiled(function, field, check))
    return Toolbox(validators, tuple(dict.fromkeys(check.found)))


def _function_of(tool: Any, field: str, check: Check) -> dict[str, Any] | None:
    """Return a tool's function if it has a name."""
    function = tool
    if field == "tools" and isinstance(tool, dict):
        function = tool.get("function")
        if tool.get("type") is None:
            check.add("untyped_tool", 'Each of tools needs "type": "function".')
        elif tool["type"] != "function":
            function = None
    fields = function if isinstance(function, dict) else {}
    if (
        not isinstance(fields.get("name"), str)
        or not isinstance(fields.get("description"), str | None)
        or not isinstance(fields.get("strict"), bool | None)
    ):
        check.add(f"invalid_{field}", f"Each of {field} must be a function with a name.")
        return None
    return fields


def _compiled(function: dict[str, Any], field: str, check: Check) -> Validator | Tangled | None:
    """Return the compiled schema of a function's arguments; None where there is none to use."""
    schema = function.get("parameters")
    if schema is None:
        return None
    if not isinstance(schema, dict):
        check.add("invalid_tool_schema", f"The parameters of one of {field} are no JSON schema.")
        return None
    try:
        # Nothing is ever fetched, and a format is a remark: that is how JSON schema has it.
        validator = jsonschema_rs.validator_for(schema, validate_formats=False, offline=True)
        return Tangled(validator, schema) if is_tangled(schema) else validator
    except jsonschema_rs.ValidationError as error:
        kind = error.kind
    if isinstance(kind, _UNUSABLE):
        check.add(
            "unchecked_tool_schema",
            f"The parameters of one of {field} refer to what is not there, or have a pattern that "
            "is not known here, so arguments can't be checked.",
            severity="warning",
        )
    else:
        check.add("invalid_tool_schema", f"The parameters of one of {field} are no JSON schema.")
    return None


_NAMED = 3
"""How many broken keywords of a schema a finding names."""


def check_calls(index: int, message: Mapping[str, Any], check: Check) -> None:
    """Check the calls of an assistant's message: `tool_calls`, or the older `function_call`.

    A call of what is not offered, or with arguments that break the schema, is an error in a turn
    that is trained: it would be learnt. In a turn with `weight: 0` it is part of the history.
    """
    severity: Severity = "warning" if message.get("weight") == 0 else "error"
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        if not calls:
            check.add("empty_tool_calls", "tool_calls is an empty list; leave it out.", index)
        ids: set[str] = set()
        for call in calls:
            _check_tool_call(index, call, ids, severity, check)
    elif calls is not None:
        check.add("invalid_tool_calls", "tool_calls must be a list.", index)
    if (function := message.get("function_call")) is not None:
        _check_function(index, function, severity, check)


def _check_tool_call(
    index: int, call: Any, ids: set[str], severity: Severity, check: Check
) -> None:
    call_id = call.get("id") if isinstance(call, dict) else None
    if not isinstance(call_id, str):
        check.add("invalid_tool_calls", "A tool call needs an id.", index)
        return
    if call_id in ids:
        check.add("duplicate_call_id", "Two calls of one message have the same id.", index)
    ids.add(call_id)
    kind = call.get("type")
    if kind is None:
        check.add("untyped_call", 'A tool call needs "type": "function".', index)
    elif kind != "function":
        check.add("invalid_tool_calls", "A tool call must be of a function.", index)
        return
    _check_function(index, call.get("function"), severity, check)


def _check_function(index: int, function: Any, severity: Severity, check: Check) -> None:
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        check.add("invalid_tool_calls", "A call needs the name of its function.", index)
        return
    arguments = _arguments(index, function.get("arguments"), check)
    validators = check.toolbox.validators.get(name)
    if validators is None:
        _check_name(index, name, severity, check)
    elif arguments is not None:
        usable: list[Validator] = []
        for each in validators:
            if isinstance(each, Tangled) and takes_too_long(each.schema, arguments):
                text = "Holding a call's arguments to the tool's JSON schema would take too long."
                check.add("unchecked_tool_schema", text, index, "warning")
                return
            validator = each.validator if isinstance(each, Tangled) else each
            if validator is None or validator.is_valid(arguments):
                return
            usable.append(validator)
        _tell_broken(index, usable[0], arguments, severity, check)


def _tell_broken(
    index: int, validator: Validator, arguments: Any, severity: Severity, check: Check
) -> None:
    """Say which keywords of the schema are broken; the values are training text."""
    paths = [error.schema_path for error in validator.iter_errors(arguments)]
    keywords = sorted({str(path[-1]) for path in paths if path})
    broken = ", ".join(keywords[:_NAMED]) or "false"
    text = f"A call's arguments break the tool's JSON schema ({broken})."
    check.add("arguments_against_schema", text, index, severity)


def _check_name(index: int, name: str, severity: Severity, check: Check) -> None:
    """Check the name of a call that is not among the tools; a tool's own name was checked."""
    if not re.fullmatch(check.rules.function_name, name):
        check.add(
            "invalid_call_name",
            "The name of a call must be 1 to 64 letters, digits, _ and -.",
            index,
        )
    if check.toolbox.validators:
        check.add(
            "tool_not_offered", "A call of a tool that is not among the tools.", index, severity
        )
    elif check.toolbox.known:
        # Runs from some files don't say which tools they had; the loader notes `tools_unknown`.
        check.add("no_tools_offered", "A tool is called, but none is offered.", index, "warning")


def _arguments(index: int, text: Any, check: Check) -> dict[str, Any] | None:
    """Return a call's arguments; None where they are no JSON object."""
    halves = False
    try:
        arguments = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        # Python reads half characters, and orjson does not: so they are told from broken JSON.
        arguments = _read_odd(text)
        halves = True
    if not isinstance(arguments, dict):
        check.add("invalid_arguments", "A call's arguments must be a JSON object.", index)
        return None
    if halves:
        check.add("invalid_unicode", HALVES, index)
        return None
    return arguments


def _read_odd(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
