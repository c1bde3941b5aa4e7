"""What LangServe's playground can show: schemas without null, which its forms do not know."""

from typing import Any

from pydantic import BaseModel, model_validator


def as_form(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model that takes the same, and whose JSON schema the playground can show.

    The playground stays blank where a type may be null. In a request, what is null can be left
    out just as well.

    Args:
        model: What a step takes.
    """
    return type(model.__name__, (_Form, model), {"__doc__": model.__doc__, "__module__": __name__})


class _Form(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, given: Any) -> Any:
        # A form sends an empty list for what nobody filled in.
        if isinstance(given, dict):
            return {name: value for name, value in given.items() if value != []}
        return given

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the schema without null; of several types the first."""
        schema: dict[str, Any] = plain_schema(super().model_json_schema(*args, **kwargs))
        return schema


def plain_schema(schema: Any) -> Any:
    """Return a JSON schema with one type for each value, which is not null.

    Lists may be empty: that is how a form says that nothing is given.

    Example:
        >>> plain_schema({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None})
        {'type': 'string'}
    """
    if isinstance(schema, list):
        return [plain_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema:
        kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = {**kinds[0], **rest}
    return {
        key: plain_schema(value)
        for key, value in schema.items()
        if key != "minItems" and not (key == "default" and value is None)
    }
