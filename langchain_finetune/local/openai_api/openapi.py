"""The engine's OpenAPI description: FastAPI's own, with what it can't know of the routes."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from langchain_finetune.local.auth.guard import OPEN_PATHS

_STORE = "/api/v1"
_FORMS = (f"{_STORE}/runs/multipart", f"{_STORE}/platform/datasets/{{dataset_id}}/examples")
_ANY_FORM = {"content": {"multipart/form-data": {"schema": {"type": "object"}}}}
_WITHOUT_BODY = ("/cancel", "/pause", "/resume")


@dataclass(frozen=True)
class DescribedAs:
    """Describes a JSON object by a model that is imported only when the schema is generated.

    Example:
        >>> from typing import Annotated
        >>> FileBody = Annotated[dict[str, Any], DescribedAs("openai.types:FileObject")]
        >>> sorted(TypeAdapter(FileBody).json_schema()["properties"])[:2]
        ['bytes', 'created_at']
    """

    model: str

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the model's JSON schema."""
        return handler(TypeAdapter(resolve_name(self.model)).core_schema)


class ErrorDetail(BaseModel):
    """What is wrong with a request."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """An error in OpenAI's shape."""

    error: ErrorDetail


def form_body(**fields: dict[str, Any]) -> dict[str, Any]:
    """Describe the body of a route that reads a form itself, to bound it; all fields are needed."""
    schema = {"type": "object", "required": list(fields), "properties": fields}
    return {"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description of an engine.

    Of the bodies of LangSmith's routes it reports only that they are JSON: LangSmith's own
    description has the rest.
    """
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            operation["responses"] = {"2XX": responses["200"], "4XX": responses["4XX"]}
            if path in OPEN_PATHS:
                operation["security"] = []
            has_body = method in {"post", "patch", "put"} and not path.endswith(_WITHOUT_BODY)
            if has_body and "requestBody" not in operation:
                json_body: dict[str, Any] = {"content": {"application/json": {"schema": {}}}}
                operation["requestBody"] = _ANY_FORM if path in _FORMS else json_body
    found["components"]["securitySchemes"] = {
        "openai": {"type": "http", "scheme": "bearer"},
        "langsmith": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    return found | {"security": [{"openai": []}, {"langsmith": []}]}
