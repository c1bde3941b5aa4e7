"""The tools that an example offers, and the calls that the assistant makes of them."""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from langchain_finetune.checks.finding import (
    NOTHING,
    Check,
    CostlySchema,
    Severity,
    Toolbox,
    Validator,
)
from langchain_finetune.checks.profiles import Profile
from langchain_finetune.checks.schema_cost import is_costly, takes_too_long
from langchain_finetune.checks.text import SURROGATE
from langchain_finetune.tolerant_json import parse_json

_UNREADABLE = Toolbox({}, known=False)
_UNUSABLE = (
    jsonschema_rs.ValidationErrorKind.Referencing,
    jsonschema_rs.ValidationErrorKind.Format,
)
"""Errors of a valid schema that can't be used: a remote reference, or an unsupported pattern."""


def read_tools(example: Mapping[str, Any], check: Check) -> Toolbox:
    """Return the tools of an example; problems are added as findings."""
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
            # Thousands of examples have the same tools: they are read once.
            box = _toolbox(orjson.dumps(tools), field, check.rules)
        except TypeError:
            box = _UNREADABLE  # The check of the whole line reports why.
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
        check.add("parallel_without_tools", "parallel_tool_calls is allowed only with tools.")


@lru_cache(maxsize=1024)
def _toolbox(data: bytes, field: str, rules: Profile) -> Toolbox:
    tools = orjson.loads(data)
    check = Check(rules)
    if not tools:
        check.add(f"empty_{field}", f"{field} is an empty list; remove it.")
    if len(tools) > rules.max_tools:
        text = f"{len(tools)} {field}; at most {rules.max_tools} are allowed."
        check.add(f"too_many_{field}", text)
    validators: dict[str, tuple[Validator | CostlySchema | None, ...]] = {}
    for tool in tools:
        function = _function_of(tool, field, check)
        if function is None:
            continue
        name = function["name"]
        if not re.fullmatch(rules.function_name, name):
            text = f"The name of one of {field} must be 1 to 64 letters, digits, _ and -."
            check.add("invalid_tool_name", text)
        if name in validators:
            text = f"Two of {field} have the same name."
            check.add("duplicate_tool_name", text, severity="warning")
        validators[name] = (*validators.get(name, ()), _compiled(function, field, check))
    return Toolbox(validators, tuple(dict.fromkeys(check.found)))


def _function_of(tool: Any, field: str, check: Check) -> dict[str, Any] | None:
    """Return a tool's function, if it is valid."""
    function = tool
    if field == "tools" and isinstance(tool, dict):
        function = tool.get("function")
        if tool.get("type") is None:
            check.add("untyped_tool", 'Each of tools must have "type": "function".')
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


def _compiled(
    function: dict[str, Any], field: str, check: Check
) -> Validator | CostlySchema | None:
    """Return the compiled schema of a function's arguments; None if there is none to use."""
    schema = function.get("parameters")
    if schema is None:
        return None
    if not isinstance(schema, dict):
        check.add("invalid_tool_schema", f"The parameters of one of {field} are not a JSON schema.")
        return None
    try:
        # Nothing is fetched, and formats are annotations, as JSON Schema defines.
        validator = jsonschema_rs.validator_for(schema, validate_formats=False, offline=True)
        return CostlySchema(validator, schema) if is_costly(schema) else validator
    except jsonschema_rs.ValidationError as error:
        kind = error.kind
    if isinstance(kind, _UNUSABLE):
        text = f"One of {field} has an unusable reference or pattern: arguments can't be checked."
        check.add("unchecked_tool_schema", text, severity="warning")
    else:
        check.add("invalid_tool_schema", f"The parameters of one of {field} are not a JSON schema.")
    return None


_NAMED = 3
"""How many violated keywords of a schema a finding names."""


def check_calls(index: int, message: Mapping[str, Any], check: Check) -> None:
    """Check the calls of an assistant's message: `tool_calls`, or the older `function_call`.

    A call of a tool that is not offered, or with arguments that violate the schema, is an error
    in a turn that is trained on. In a turn with `weight: 0` it is a warning.
    """
    severity: Severity = "warning" if message.get("weight") == 0 else "error"
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        if not calls:
            check.add("empty_tool_calls", "tool_calls is an empty list; remove it.", index)
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
        check.add("invalid_tool_calls", "A tool call must have an id.", index)
        return
    if call_id in ids:
        check.add("duplicate_call_id", "Two calls of one message have the same id.", index)
    ids.add(call_id)
    kind = call.get("type")
    if kind is None:
        check.add("untyped_call", 'A tool call must have "type": "function".', index)
    elif kind != "function":
        check.add("invalid_tool_calls", "A tool call must have the type function.", index)
        return
    _check_function(index, call.get("function"), severity, check)


def _check_function(index: int, function: Any, severity: Severity, check: Check) -> None:
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        check.add("invalid_tool_calls", "A call must have a function name.", index)
        return
    arguments = _arguments(index, function.get("arguments"), check)
    validators = check.toolbox.validators.get(name)
    if validators is None:
        _check_name(index, name, severity, check)
    elif arguments is not None:
        usable: list[Validator] = []
        for each in validators:
            if isinstance(each, CostlySchema) and takes_too_long(each.schema, arguments):
                text = "Checking the arguments against the tool's JSON schema would take too long."
                check.add("unchecked_tool_schema", text, index, "warning")
                return
            validator = each.validator if isinstance(each, CostlySchema) else each
            if validator is None or validator.is_valid(arguments):
                return
            usable.append(validator)
        _report_violation(index, usable[0], arguments, severity, check)


def _report_violation(
    index: int, validator: Validator, arguments: Any, severity: Severity, check: Check
) -> None:
    """Report which keywords of the schema are violated; never the values, which are private."""
    paths = [error.schema_path for error in validator.iter_errors(arguments)]
    keywords = sorted({str(path[-1]) for path in paths if path})
    violated = ", ".join(keywords[:_NAMED]) or "false"
    text = f"A call's arguments violate the tool's JSON schema ({violated})."
    check.add("arguments_against_schema", text, index, severity)


def _check_name(index: int, name: str, severity: Severity, check: Check) -> None:
    """Check the name of a call that is not among the tools."""
    if not re.fullmatch(check.rules.function_name, name):
        text = "The name of a call must be 1 to 64 letters, digits, _ and -."
        check.add("invalid_call_name", text, index)
    if check.toolbox.validators:
        check.add("tool_not_offered", "A tool is called that is not offered.", index, severity)
    elif check.toolbox.known:
        # Runs of some files lack their tools; the loader counts `tools_unknown`.
        check.add("no_tools_offered", "A tool is called, but none are offered.", index, "warning")


def _arguments(index: int, text: Any, check: Check) -> dict[str, Any] | None:
    """Return a call's arguments; None if they are not a valid JSON object."""
    surrogate = False
    arguments = None
    try:
        arguments = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        # Unlike orjson, Python accepts unpaired surrogates, which are reported as such.
        surrogate = True
        with suppress(ValueError):
            arguments = parse_json(text)
    if not isinstance(arguments, dict):
        check.add("invalid_arguments", "A call's arguments must be a JSON object.", index)
        return None
    if surrogate:
        check.add("invalid_unicode", SURROGATE, index)
        return None
    return arguments
