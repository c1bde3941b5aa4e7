"""The engine's OpenAPI description: what FastAPI knows of the routes, made true and short."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from langchain_finetune.local.auth.guard import OPEN_PATHS

_SHOWN = "/api/v1"
_SHOWN_V2 = "/api/v2"
_OTHERS = ("/api/v1", "/v1/api", "/api", "/v1", "")
"""Prefixes under which LangSmith's clients look for the same routes."""

_TEXT = {"type": "string"}
_FILE = {"type": "string", "format": "binary"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_FORMS: Mapping[str, dict[str, Any]] = {
    "/v1/files": {
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {"file": _FILE, "purpose": {"const": "fine-tune"}},
    },
    "/v1/uploads/{upload_id}/parts": {
        "type": "object",
        "required": ["data"],
        "properties": {"data": _FILE},
    },
    f"{_SHOWN}/runs/multipart": {"type": "object"},
    f"{_SHOWN}/platform/datasets/{{dataset_id}}/examples": {"type": "object"},
}
_WITHOUT_BODY = ("/cancel", "/pause", "/resume")


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description of an engine.

    LangSmith's routes, which clients look for under several prefixes, stand there under one. Of
    their bodies it says no more than that they are JSON: LangSmith's own description has the rest.
    """
    found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    paths = {
        path: operations
        for path, operations in found["paths"].items()
        if _shown_for(path, found["paths"]) == path
    }
    for path, operations in paths.items():
        for method, operation in operations.items():
            operation["responses"] = {
                "2XX": operation["responses"]["200"],
                "4XX": {"$ref": "#/components/responses/Refused"},
            }
            if path in OPEN_PATHS:
                operation["security"] = []
            if method in {"post", "patch", "put"} and "requestBody" not in operation:
                operation.update(_body(path))
    schemas = found.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    refused = {"description": "An error in OpenAI's shape."}
    found["components"] = {
        "schemas": schemas | {"Error": _ERROR},
        "responses": {"Refused": refused | _content("application/json", {"$ref": _place("Error")})},
        "securitySchemes": {
            "openai": {"type": "http", "scheme": "bearer"},
            "langsmith": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        },
    }
    return found | {"paths": paths, "security": [{"openai": []}, {"langsmith": []}]}


def _shown_for(path: str, paths: Mapping[str, Any]) -> str:
    """Return the path under which the same route is shown."""
    for prefix in _OTHERS:
        rest = path.removeprefix(prefix)
        if rest in OPEN_PATHS:
            return rest
        shown = _SHOWN_V2 + rest[3:] if rest.startswith("/v2/") else _SHOWN + rest
        if path.startswith(prefix) and shown in paths:
            return shown
    return path


def _body(path: str) -> dict[str, Any]:
    if path.endswith(_WITHOUT_BODY):
        return {}
    if path in _FORMS:
        return {"requestBody": _content("multipart/form-data", _FORMS[path])}
    return {"requestBody": _content("application/json", {})}


def _content(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}}


def _place(name: str) -> str:
    return f"#/components/schemas/{name}"
