"""What an example offers: its tools, legacy functions and how they may be called."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from langchain_finetune.checks.finding import NOTHING, Check, Tangled, Toolbox, Validator
from langchain_finetune.checks.profiles import Profile
from langchain_finetune.checks.schema_cost import is_tangled

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
