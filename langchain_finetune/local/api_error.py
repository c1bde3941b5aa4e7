"""Errors in OpenAI's format, for which the openai SDK raises its typed exceptions."""

from typing import Any


class ApiError(Exception):
    """A refused request: HTTP status, OpenAI's machine-readable code, and the field at fault."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the response: `{"error": {message, type, param, code}}`."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"  # noqa: PLR2004
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}
