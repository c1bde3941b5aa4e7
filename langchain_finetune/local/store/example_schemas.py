"""Do examples fit the JSON schemas of their dataset? Pure functions."""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import orjson

from langchain_finetune.local.api_error import ApiError

SCHEMAS = {"inputs": "inputs_schema_definition", "outputs": "outputs_schema_definition"}
"""Where a dataset says what the values of its examples must look like."""


def require_schemas(dataset: Mapping[str, Any]) -> None:
    """Refuse a dataset with something that is no JSON schema.

    Raises:
        ApiError: 400 with the name of the field.
    """
    for name in SCHEMAS.values():
        if dataset.get(name) is not None:
            _validator(name, dataset[name])


def require_fit(dataset: Mapping[str, Any], example: Mapping[str, Any]) -> None:
    """Refuse an example that does not fit the schemas of its dataset.

    Args:
        dataset: As it was made.
        example: Its row: `id`, and `inputs` and `outputs` as JSON.

    Raises:
        ApiError: 400 with the example and the place of the fault, and no value.
    """
    for column, name in SCHEMAS.items():
        if dataset.get(name) is None or example[column] is None:
            continue
        validator = _validator(name, dataset[name])
        fault = next(iter(validator.iter_errors(orjson.loads(example[column]))), None)
        if fault is not None:
            place = "/".join(str(part) for part in [column, *fault.instance_path])
            raise ApiError(
                400,
                f"Example {example['id']} does not fit the dataset's schema at {place}.",
                code="schema_mismatch",
                param=column,
            )


def _validator(name: str, schema: Any) -> Any:
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=False, offline=True)
    except (ValueError, jsonschema_rs.ValidationError):
        raise ApiError(400, f"{name} must be a JSON schema.", param=name) from None
