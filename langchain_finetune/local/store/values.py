"""Ids, times and JSON: conversion between the formats of clients and of the store.

Times are whole microseconds since 1970, in UTC.
"""

import datetime as dt
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from langchain_finetune import tolerant_json
from langchain_finetune.arguments import sentence_of
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.tolerant_json import without_surrogates

TENANT_ID = "5d1f9a52-0c0b-5f0a-9f6e-6c6f63616c00"
"""The one tenant of a local store; LangSmith's clients want to see a UUID."""

MAX_VALUES = 4_000_000
"""Most values in JSON. Each takes up to a hundred times its bytes once it is parsed."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_FIRST = (dt.datetime.min.replace(tzinfo=dt.UTC) - EPOCH) // _MICROSECOND
_LAST = (dt.datetime.max.replace(tzinfo=dt.UTC) - EPOCH) // _MICROSECOND


def now() -> int:
    """Return the present time."""
    return (dt.datetime.now(dt.UTC) - EPOCH) // _MICROSECOND


def micros(value: Any) -> int | None:
    """Return a client's time, or None if it is not a valid time.

    It is ISO 8601 text, where no offset means UTC, or milliseconds since 1970, as old LangSmith
    clients in JavaScript wrote them.
    """
    try:
        if isinstance(value, str):
            moment = dt.datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = EPOCH + dt.timedelta(milliseconds=value)
        else:
            return None
    except (OverflowError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    time = (moment - EPOCH) // _MICROSECOND
    # An offset can push a time out of what a `datetime` holds.
    return time if _FIRST <= time <= _LAST else None


def iso(time: int) -> str:
    """Return a time as LangSmith's API writes it: `2026-11-20T11:37:14.209962+00:00`."""
    return moment(time).isoformat(timespec="microseconds")


def moment(time: int) -> dt.datetime:
    """Return a time as a `datetime`."""
    return EPOCH + dt.timedelta(microseconds=time)


def new_uuid() -> str:
    """Return a fresh id."""
    return str(uuid4())


def uuid_text(value: str, name: str) -> str:
    """Return an id in its usual spelling.

    Raises:
        ApiError: 400 where it is not a UUID.
    """
    try:
        return str(UUID(value))
    except ValueError:
        raise ApiError(400, f"{name} must be a UUID.", param=name) from None


def _uuid(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise PydanticCustomError("uuid", "must be a UUID") from None


def _time(value: Any) -> int:
    time = micros(value)
    if time is None:
        raise PydanticCustomError("time", "must be a time in ISO 8601")
    return time


Id = Annotated[str, AfterValidator(_uuid)]
"""A UUID, in its usual spelling."""

ClientTime = Annotated[int, BeforeValidator(_time)]
"""A time as clients write it, in microseconds."""

Name = Annotated[str, Field(min_length=1)]


class ClientBody(BaseModel):
    """What a client sends; fields that are not known here are ignored."""

    model_config = ConfigDict(extra="ignore")


class ClientQuery(BaseModel):
    """A client's query. Unknown conditions are refused: ignoring them would match too much."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class PageQuery(ClientQuery):
    """The requested page of a list."""

    limit: int = Field(default=100, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=2**31)


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], body: Any) -> M:
    """Read a body; fields of a `ClientBody` that are null count as absent.

    Raises:
        ApiError: 400 with the place of the fault.
    """
    if issubclass(model, ClientBody) and isinstance(body, dict):
        body = {name: value for name, value in body.items() if value is not None}
    try:
        return model.model_validate(body)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ApiError(400, sentence_of(place or "The body", fault), param=place) from None


def json_text(value: Any) -> str:
    """Return a value of JSON as text, which LangSmith compares metadata by."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def loads(data: bytes, what: str = "body") -> Any:
    """Parse JSON; an unpaired surrogate becomes U+FFFD.

    Raises:
        ApiError: 400 where it is not valid, 413 where it would take too much memory.
    """
    return parsed(data, what)[0]


def parsed(data: bytes, what: str) -> tuple[Any, bytes]:
    """Parse JSON like `loads`, and return it also as bytes that any parser reads."""
    if len(data) > MAX_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ApiError(413, f"The {what} has more than {MAX_VALUES} values.", code="body_too_large")
    try:
        return orjson.loads(data), data
    except orjson.JSONDecodeError:
        pass
    try:
        # So one cut emoji does not cost a batch of runs.
        value = without_surrogates(tolerant_json.loads(data))
    except (RecursionError, ValueError):
        raise ApiError(400, f"The {what} is not valid JSON.") from None
    return value, dumps(value, what).encode()


def dumps(value: Any, what: str) -> str:
    """Write JSON.

    Raises:
        ApiError: 400 where it is nested deeper than can be written (about 250 levels), which
            SQLite could not read either.
    """
    try:
        # Two levels are left for what an answer puts around it.
        return orjson.dumps([[value]])[2:-2].decode()
    except orjson.JSONEncodeError:
        raise ApiError(400, f"{what} is nested too deeply.", param=what) from None
