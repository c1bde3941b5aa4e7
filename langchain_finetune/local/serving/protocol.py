"""What requests to models have in common: fields, bounds, and OpenAI's errors for bad ones."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from langchain_finetune.arguments import words_of
from langchain_finetune.local.api_error import ApiError

MAX_CHOICES = 128
"""Most answers to a request (OpenAI's API reference)."""


def invalid(name: str, fault: str) -> ApiError:
    """Return the error for a field with an invalid value."""
    return ApiError(400, f"'{name}' {fault}.", code="invalid_value", param=name)


def unsupported(name: str, reason: str) -> ApiError:
    """Return the error for a part of OpenAI's API that this engine can't carry out."""
    return ApiError(400, f"'{name}': {reason}.", code="unsupported_value", param=name)


def missing(name: str) -> ApiError:
    """Return the error for a required field that is not there."""
    message = f"Missing required parameter: '{name}'."
    return ApiError(400, message, code="missing_required_parameter", param=name)


def model_not_found(message: str) -> ApiError:
    """Return the error for a model that is not there."""
    return ApiError(404, message, code="model_not_found", param="model")


def refusal(error: ValidationError, within: str = "") -> ApiError:
    """Return the first fault found within a field (default: the request) as OpenAI reports it.

    Nothing of the input is repeated but names of fields.
    """
    [first, *_] = error.errors(include_input=False, include_url=False)
    param = within
    for part in first["loc"]:
        name = str(part)[:100]
        param += f"[{name}]" if isinstance(part, int) else f".{name}" if param else name
    match first["type"]:
        case "extra_forbidden":
            message = f"Unknown parameter: '{param}'."
            return ApiError(400, message, code="unknown_parameter", param=param)
        case "missing":
            return missing(param)
        case "unsupported_value" | "literal_error":
            return unsupported(param, first["msg"])
        case "dict_type" | "model_type":
            fault = "must be an object"
        case _:
            fault = words_of(first)
    if not param:
        return ApiError(400, f"The request {fault}.", code="invalid_value")
    return invalid(param, fault if fault.startswith(("must", "is ")) else f"is not valid: {fault}")


def one_fault(fault: str, code: str = "invalid_value") -> WrapValidator:
    """Report all errors within a field as this one; of a union, pydantic has one per branch."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(code, "{fault}", {"fault": fault}) from None

    return WrapValidator(check)


def only(*values: Any) -> AfterValidator:
    """Allow an unsupported field only with values that have no effect."""

    def check(value: Any) -> Any:
        if value not in values:
            raise PydanticCustomError(
                "unsupported_value", "this engine does not support this value"
            )
        return value

    return AfterValidator(check)


Penalty = Annotated[float, Field(ge=-2, le=2)]
Number = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
MaxTokens = Annotated[int, Field(ge=1)]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
Stops = Annotated[
    NonEmpty | Annotated[list[NonEmpty], Field(max_length=4)],
    one_fault("must be a string or a list of at most 4 strings"),
]
"""At most four strings (OpenAI's API reference)."""

LogitBias = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern="^[0-9]{1,9}$")],
        Annotated[float, Field(ge=-100, le=100)],
    ],
    Field(max_length=1024),
    one_fault("must have at most 1024 tokens' numbers, each with a bias from -100 to 100"),
]
"""As many tokens as vLLM's server takes; OpenAI names no number."""


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ModelRequest(BaseModel):
    """The fields that all requests to models have; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    stream: bool = False
    stream_options: StreamOptions = Field(default_factory=StreamOptions)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Validate a request's body; null fields count as not given.

        Raises:
            ApiError: 400; a field is malformed, unknown, or asks for what is not supported.
        """
        try:
            request = cls.model_validate(
                {name: value for name, value in body.items() if value is not None}
            )
        except ValidationError as error:
            # Without its cause: that quotes the request.
            raise refusal(error) from None
        if request.stream_options.model_fields_set and not request.stream:
            raise invalid("stream_options", "is only allowed when 'stream' is true")
        request.check()
        return request

    def check(self) -> None:
        """Refuse fields that contradict each other."""


class SampledRequest(ModelRequest):
    """The fields that chat completions and the older completions share: how tokens are drawn."""

    frequency_penalty: Penalty = 0
    logit_bias: LogitBias = Field(default_factory=dict)
    logprobs: Any = None
    max_tokens: MaxTokens | None = None
    n: Number = 1
    presence_penalty: Penalty = 0
    seed: int | None = None
    stop: Stops = Field(default_factory=list)

    @property
    def token_limit(self) -> int | None:
        """Most tokens of an answer; None for the engine's own limit."""
        return self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """Each token's log-probability comes with this many alternatives; None for neither."""
        return self.logprobs  # type: ignore[no-any-return]

    @property
    def stops(self) -> list[str]:
        """Strings that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop

    @property
    def biases(self) -> dict[int, float]:
        """What is added to the scores of which tokens."""
        return {int(token): bias for token, bias in self.logit_bias.items() if bias}


class FieldsWithoutEffect(BaseModel):
    """Fields that change nothing about an answer here; predictions only speed OpenAI's up."""

    metadata: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    user: Any = None
