"""JSON schemas that LangServe's playground can render: it cannot render nullable types."""

from typing import Any

from pydantic import BaseModel, model_validator


def playground_model(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model that accepts the same input, with a JSON schema for the playground.

    The playground stays blank if a type is nullable. Nothing is lost: a null field can be
    omitted from a request.
    """
    bases = (_PlaygroundModel, model)
    return type(model.__name__, bases, {"__doc__": model.__doc__, "__module__": __name__})


class _PlaygroundModel(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _drop_empty_lists(cls, values: Any) -> Any:
        # The playground's form sends an empty list for a field that was not filled in.
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value != []}
        return values

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the schema without null types; of a union, only the first member."""
        schema: dict[str, Any] = without_null(super().model_json_schema(*args, **kwargs))
        return schema


def without_null(schema: Any) -> Any:
    """Return a JSON schema in which every value has one type that is not null.

    Minimum lengths of lists are removed: the form sends an empty list for "not given".

    Example:
        >>> without_null({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None})
        {'type': 'string'}
    """
    if isinstance(schema, list):
        return [without_null(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema:
        types = [each for each in schema["anyOf"] if each != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = {**types[0], **rest}
    return {
        key: without_null(value)
        for key, value in schema.items()
        if key != "minItems" and not (key == "default" and value is None)
    }
