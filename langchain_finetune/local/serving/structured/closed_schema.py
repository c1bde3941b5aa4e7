"""Disallows fields that a JSON schema does not name, so that a weak model does not invent them.

Objects that say nothing about further fields get none: what is written still satisfies the schema.
Parts that hold for one value together (`properties` beside `anyOf`, those of `allOf`, `$ref` beside
others) allow each other's fields, since nothing would satisfy them otherwise.
"""

from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Any
from urllib.parse import unquote

from langchain_finetune.local.serving.structured.shape import Schema

_SAYS_OF_OTHERS = {"additionalProperties", "patternProperties", "unevaluatedProperties"}
_NAMED = {"properties", "patternProperties", "$defs", "definitions"}
_NESTED = {"items", "prefixItems", "additionalProperties"}

# References that are written out; a schema can be made to hold any number of them.
_MOST_COPIES = 100

Names = tuple[str, ...]


class _CannotCloseError(Exception):
    """The fields that a value may have are not known."""


class Closed:
    """A schema with further fields disallowed where it says nothing about them.

    It stays as it is where its references lead elsewhere, or round in a circle.

    Attributes:
        schema: The schema.

    Example:
        >>> Closed({"properties": {"a": {}}, "required": ["b"]}).schema
        {'properties': {'a': {}, 'b': {}}, 'required': ['b'], 'additionalProperties': False}
    """

    def __init__(self, given: Schema) -> None:
        self._given = given
        self._copied: list[str] = []
        self._copies = 0
        # Alternatives of each `oneOf`: closed, and as they were given.
        self._one_of: list[tuple[list[Any], list[Any]]] = []
        try:
            self.schema: Schema = self._close(given, ())
        except _CannotCloseError:
            self.schema, self._one_of = given, []

    def overlaps(self) -> Iterator[Schema]:
        """Yield schemas of what satisfies two alternatives of a `oneOf`: closed, and as given.

        If nothing satisfies any of these, exactly one alternative holds for whatever satisfies one
        of the closed ones.
        """
        roots = {"closed": self.schema, "given": self._given}
        definitions = {name: _moved(root, name) for name, root in roots.items()}
        for closed, given in self._one_of:
            for (one, _), (_, other) in permutations(zip(closed, given, strict=True), 2):
                both = [_moved(one, "closed"), _moved(other, "given")]
                yield {"allOf": both, "$defs": definitions}

    def _close(self, schema: Any, beside: Names) -> Any:
        """Close the schema of a value of which other parts name the fields `beside`."""
        if schema is True and beside:
            schema = {}
        if not isinstance(schema, dict):
            return schema
        closed = {key: self._nested(key, value) for key, value in schema.items()}
        if _SAYS_OF_OTHERS & schema.keys():
            # This holds for its parts, too.
            return closed
        own = _own_names(schema)
        groups = _groups(schema)
        if groups:
            closed.pop("allOf", None)
        for place, (key, parts) in enumerate(groups):
            others = [part for at, group in enumerate(groups) if at != place for part in group[1]]
            names = _unique(beside, own, *(self._names(part, ()) for part in others))
            if key == "$ref":
                if names:
                    reference = closed.pop("$ref")
                    closed.setdefault("allOf", []).append(self._copy(reference, names))
                continue
            made = [self._close(part, names) for part in parts]
            if key == "allOf":
                closed.setdefault("allOf", []).extend(made)
                continue
            closed[key] = made
            if key == "oneOf":
                self._one_of.append((made, parts))
        if not groups and (beside or "properties" in schema):
            fields = closed.get("properties", {})
            closed["properties"] = {name: fields.get(name, {}) for name in _unique(own, beside)}
            closed["additionalProperties"] = False
        return closed

    def _nested(self, key: str, value: Any) -> Any:
        """Close the schemas that a keyword holds for other values than its own schema's."""
        if key in _NAMED and isinstance(value, dict):
            return {name: self._close(each, ()) for name, each in value.items()}
        if key in _NESTED and isinstance(value, list):
            return [self._close(each, ()) for each in value]
        return self._close(value, ()) if key in _NESTED else value

    def _copy(self, reference: str, beside: Names) -> Any:
        """Return the closed copy of what a reference leads to."""
        self._copies += 1
        if reference in self._copied or self._copies > _MOST_COPIES:
            raise _CannotCloseError
        self._copied.append(reference)
        copy = self._close(self._target(reference), beside)
        self._copied.pop()
        return copy

    def _names(self, schema: Any, seen: Names) -> Names:
        """Return the fields that a schema and its parts name."""
        if not isinstance(schema, dict):
            return ()
        names = [_own_names(schema)]
        for key, parts in _groups(schema):
            if key != "$ref":
                names += [self._names(part, seen) for part in parts]
            elif schema["$ref"] not in seen:
                target = self._target(schema["$ref"])
                names.append(self._names(target, (*seen, schema["$ref"])))
        return _unique(*names)

    def _target(self, reference: str) -> Any:
        found: Any = self._given
        start, *steps = unquote(reference).split("/")
        if start != "#":
            raise _CannotCloseError
        for step in steps:
            name = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name) if isinstance(found, list) else name]
            except (LookupError, TypeError, ValueError):
                raise _CannotCloseError from None
        return found


def _groups(schema: Schema) -> list[tuple[str, list[Any]]]:
    """Return the parts that hold for a schema's own value; one of each group's is enough."""
    whole = schema.get("allOf")
    groups = [("allOf", [part]) for part in whole] if isinstance(whole, list) else []
    groups += [
        (key, schema[key]) for key in ("anyOf", "oneOf") if isinstance(schema.get(key), list)
    ]
    if isinstance(reference := schema.get("$ref"), str):
        groups.append(("$ref", [{"$ref": reference}]))
    return groups


def _own_names(schema: Schema) -> Names:
    fields, required = schema.get("properties"), schema.get("required")
    return _unique(
        fields if isinstance(fields, dict) else (),
        [name for name in required if isinstance(name, str)] if isinstance(required, list) else (),
    )


def _unique(*names: Iterable[str]) -> Names:
    return tuple(dict.fromkeys(name for several in names for name in several))


def _moved(value: Any, below: str) -> Any:
    """Return a schema whose references lead to where its root is among the definitions."""
    if isinstance(value, list):
        return [_moved(item, below) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _moved(item, below) for key, item in value.items() if key != "$id"}
    if isinstance(reference := value.get("$ref"), str) and reference.startswith("#"):
        moved["$ref"] = f"#/$defs/{below}{reference[1:]}"
    return moved
