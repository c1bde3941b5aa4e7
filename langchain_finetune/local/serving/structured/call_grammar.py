"""The part of a grammar that says how calls are written, in the form of a model's template."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.structured.shape import AnswerSchema, Schema
from langchain_finetune.local.templates.call_form import (
    ID,
    INDEX,
    NAME,
    CallForm,
    FieldArguments,
    JsonArguments,
)

_PLACEHOLDERS = {ID: "/[a-zA-Z0-9]{9}/", INDEX: "/[0-9]/"}
_NOTES = {"title", "description", "default", "examples", "type", "$defs", "definitions", "enum"}
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_ENFORCED = {
    "string": set[str](),
    "integer": _BOUNDS,
    "number": _BOUNDS,
    "boolean": set[str](),
    "null": set[str](),
    "array": {"items"},
    "object": {"properties", "required", "additionalProperties"},
}
"""What of a schema is enforced where values are not written as JSON."""

WriteJson = Callable[[Schema], str]
"""Returns the grammar of a JSON value that satisfies a schema."""


def call_rules(
    tools: tuple[AnswerSchema, ...],
    form: CallForm,
    *,
    parallel: bool,
    special: Mapping[str, int],
    write_json: Callable[[AnswerSchema], WriteJson],
) -> list[str]:
    """Return the rules of `calls`: one call, or several if parallel, without what opens them.

    Raises:
        ApiError: 400; a strict schema can't be enforced in this form.
    """
    again = ""
    if parallel and form.joint is not None:
        again = f" ({literal(form.joint + form.before, special)} call)*"
    rules = [
        f"calls: call{again} {literal(form.closing, special)}",
        "call: " + " | ".join(f"call_{index}" for index in range(len(tools))),
    ]
    for index, tool in enumerate(tools):
        name = json.dumps(tool.name, ensure_ascii=False)[1:-1]
        head = literal(name + form.between, special, name)
        tail = literal(form.after, special)
        if isinstance(form.arguments, JsonArguments):
            arguments = write_json(tool)(tool.schema)
        else:
            fields = _Fields(
                f"f{index}",
                tool,
                form.arguments,
                special=special,
                write_json=write_json(tool),
            )
            arguments = fields.rule()
            rules += fields.rules
        rules.append(f"call_{index}: {head} {arguments} {tail}")
    return rules


def literal(text: str, special: Mapping[str, int], name: str = "") -> str:
    """Return text as the grammar writes it; a special token is named by its number."""
    marks = "|".join(map(re.escape, [*special, *_PLACEHOLDERS, NAME]))
    written = []
    for part in filter(None, re.split(f"({marks})", text)):
        if part in special:
            written.append(f"<[{special[part]}]>")
        else:
            written.append(_PLACEHOLDERS.get(part) or json.dumps(part.replace(NAME, name)))
    return " ".join(written) or '""'


def pattern(text: str) -> str:
    """Return text as a part of a regular expression between slashes."""
    # `re.escape` puts a backslash before a line break, too.
    return re.escape(text).replace("/", r"\/").replace("\n", "n")


class _Fields:
    """The rules of arguments that are written one by one."""

    def __init__(
        self,
        name: str,
        tool: AnswerSchema,
        fields: FieldArguments,
        *,
        special: Mapping[str, int],
        write_json: WriteJson,
    ) -> None:
        self.rules: list[str] = []
        self._name = name
        self._tool = tool
        self._fields = fields
        self._special = special
        self._write_json = write_json
        self._refs: dict[str, str] = {}

    def rule(self) -> str:
        """Return the name of the rule of all arguments."""
        return self._entries(self._resolved(self._tool.schema), self._field, self._fields.separator)

    def _entries(self, schema: Schema, write: Callable[[str, Schema], str], separator: str) -> str:
        """Return the name of a rule of an object's entries, without what is around them."""
        self._check(schema, "object")
        given = schema.get("properties") or {}
        names = sorted(given) if self._fields.sorted else list(given)
        required = set(schema.get("required") or ())
        names += sorted(required - set(names))
        if not names:
            return self._new('""')
        between = self._text(separator)
        first, more = '""', '""'
        for name in reversed(names):
            entry = self._new(write(name, given.get(name, {})))
            # What follows an entry that stands, and one that does not.
            after = self._new(more)
            if name in required:
                first, more = f"{entry} {after}", f"{between} {entry} {after}"
            else:
                without = self._new(first)
                first, more = f"{entry} {after} | {without}", f"{between} {entry} {after} | {after}"
        return self._new(first)

    def _field(self, name: str, schema: Schema) -> str:
        start = self._text(self._fields.opening + name)
        return f"{start} ({' | '.join(self._values(schema))})"

    def _values(self, schema: Schema) -> Iterator[str]:
        """Yield the ways to write a value, each with what stands before and behind it."""
        for kind, part in self._kinds(schema):
            prefix = self._fields.prefixes["number" if kind == "integer" else kind]
            closing = self._text(self._fields.closing)
            if "enum" in part:
                for value in part["enum"]:
                    yield self._text(prefix + self._written(value) + self._fields.closing)
            elif kind == "string":
                yield f"{self._text(prefix)} {self._string()}"
            else:
                yield f"{self._text(prefix)} {self._bare(kind, part)} {closing}"

    def _kinds(self, schema: Schema) -> Iterator[tuple[str, Schema]]:
        schema = self._resolved(schema)
        if "const" in schema:
            schema = {"enum": [schema["const"]]}
        if "enum" in schema:
            for value in schema["enum"]:
                yield _kind_of(value), {"enum": [value]}
            return
        if any(part := [schema[key] for key in ("anyOf", "oneOf") if key in schema]):
            for each in part[0]:
                yield from self._kinds(each)
            return
        kinds = schema.get("type", "string" if not self._fields.quotes[0] else list(_ENFORCED))
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            self._check(schema, kind)
            yield kind, schema

    def _string(self) -> str:
        opened, closed = self._fields.quotes
        ends = closed + self._fields.closing
        mark = next((each for each in self._special if ends.startswith(each)), None)
        if mark:
            return f"{self._text(opened)} TEXT {self._text(ends)}"
        if closed:
            inside = r"([^\\Q]|\\.)*" if self._fields.escapes else "[^Q]*"
            if len(closed) == 1:
                inside = inside.replace("Q", re.escape(closed))
                return f"{self._text(opened)} /{inside}/ {self._text(ends)}"
        until = re.split("|".join(map(re.escape, self._special)) or "(?!)", ends)[0]
        rule = f"{self._name}_{len(self.rules)}"
        # Lazy: as soon as what ends it stands there, it has ended.
        self.rules.append(f"{rule}[lazy]: /(.|\\n)*{pattern(until)}/")
        return f"{self._text(opened)} {rule} {self._text(ends[len(until) :])}"

    def _bare(self, kind: str, schema: Schema) -> str:
        true, false, null = self._fields.words
        if kind == "boolean":
            return f"({self._text(true)} | {self._text(false)})"
        if kind == "null":
            return self._text(null)
        if kind in ("array", "object") and self._fields.nested == "own":
            return self._nested(kind, schema)
        shared = {
            key: self._tool.schema[key]
            for key in ("$defs", "definitions")
            if key in self._tool.schema
        }
        return self._write_json({**schema, "type": kind} | shared)

    def _nested(self, kind: str, schema: Schema) -> str:
        if kind == "array":
            item = self._new(" | ".join(self._inner(schema.get("items", {}))))
            return f'"[" ({item} ("," {item})*)? "]"'

        def entry(name: str, part: Schema) -> str:
            return f"{self._text(name + ':')} ({' | '.join(self._inner(part))})"

        return f'"{{" {self._entries(schema, entry, ",")} "}}"'

    def _inner(self, schema: Schema) -> Iterator[str]:
        """Yield the ways to write a value within another one."""
        if "$ref" in schema:
            # It may lead round in a circle.
            ref = schema["$ref"]
            if ref not in self._refs:
                self._refs[ref] = f"{self._name}_ref{len(self._refs)}"
                ways = " | ".join(self._inner(self._resolved(schema)))
                self.rules.append(f"{self._refs[ref]}: {ways}")
            yield self._refs[ref]
            return
        opened, closed = self._fields.quotes
        for kind, part in self._kinds(schema):
            if "enum" in part:
                yield self._text(self._written(part["enum"][0]))
            elif kind == "string":
                yield f"{self._text(opened)} TEXT {self._text(closed)}"
            else:
                yield self._bare(kind, part)

    def _written(self, value: Any) -> str:
        true, false, null = self._fields.words
        opened, closed = self._fields.quotes
        match value:
            case bool():
                return true if value else false
            case None:
                return null
            case str():
                return f"{opened}{value}{closed}"
            case list() if self._fields.nested == "own":
                return f"[{','.join(map(self._written, value))}]"
            case dict() if self._fields.nested == "own":
                entries = (f"{key}:{self._written(each)}" for key, each in sorted(value.items()))
                return f"{{{','.join(entries)}}}"
        return json.dumps(value, ensure_ascii=False)

    def _resolved(self, schema: Schema) -> Schema:
        seen = set()
        while isinstance(ref := schema.get("$ref"), str) and ref not in seen:
            seen.add(ref)
            found: Any = self._tool.schema
            for part in ref.removeprefix("#").split("/")[1:]:
                found = found.get(part, {}) if isinstance(found, dict) else {}
            schema = found if isinstance(found, dict) else {}
        return schema

    def _check(self, schema: Schema, kind: str) -> None:
        """Refuse what a strict tool asks for and can't be enforced."""
        if not self._tool.strict:
            return
        nested = kind in ("array", "object") and self._fields.nested != "own"
        if nested and schema is not self._resolved(self._tool.schema):
            return  # Written as JSON, which has a grammar of its own.
        for keyword in sorted(schema.keys() - _NOTES - _ENFORCED.get(kind, set())):
            raise ApiError(
                400,
                f"Invalid schema for function '{self._tool.name}': '{keyword}' can't be enforced in"
                " the form that this model writes calls in.",
                code="invalid_function_parameters",
                param=self._tool.param,
            )

    def _text(self, text: str) -> str:
        return literal(text, self._special)

    def _new(self, written: str) -> str:
        """Add a rule, and return its name."""
        if re.fullmatch(rf"{self._name}_\d+", written):
            return written
        name = f"{self._name}_{len(self.rules)}"
        self.rules.append(f"{name}: {written}")
        return name


def _kind_of(value: Any) -> str:
    kinds = {
        bool: "boolean",
        int: "number",
        float: "number",
        str: "string",
        list: "array",
        dict: "object",
    }
    return kinds.get(type(value), "null")
