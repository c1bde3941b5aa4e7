"""Arguments of steps and settings: one sentence says what is wrong with one.

pydantic's own errors have several lines, and say of a misspelt argument only that it is extra.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from langchain_finetune.errors import InvalidArgumentError

_WORDS = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "must be a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be an object"),
    **dict.fromkeys(("string_too_short", "too_short"), "must have at least {min_length} {unit}"),
    **dict.fromkeys(("string_too_long", "too_long"), "must have at most {max_length} {unit}"),
    "string_type": "must be a string",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "missing": "is required",
}
"""What pydantic's kinds of error mean, in place of its own words for programmers."""


class CheckedArguments(BaseModel):
    """Base of models whose constructor raises an `InvalidArgumentError` of one sentence.

    Where data is validated, as with `model_validate`, pydantic's own errors remain.

    Example:
        >>> class Step(CheckedArguments, extra="forbid"):
        ...     model: str
        >>> try:
        ...     Step(modle="nano")
        ... except InvalidArgumentError as error:
        ...     print(error)
        Step has no argument 'modle'; did you mean 'model'?
    """

    further_arguments: ClassVar[tuple[str, ...]] = ()
    """Names that the constructor takes besides the fields."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except ValidationError as error:
            raise InvalidArgumentError(explain(error, type(self))) from error

    # So that validation does not go through the constructor, whose error it would wrap.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return the first fault of an error as one sentence, which does not quote the value.

    Args:
        error: What pydantic raised.
        model: The model that was made, if it was one; with it, misspelt names are recognized.
    """
    faults = error.errors(include_input=False, include_url=False)
    # A misspelt argument explains one that is missing.
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    *parents, last = fault["loc"] or ("",)
    place = []
    inner = model
    for part in (*parents, last):
        # Others are pydantic's names of alternatives, such as `constrained-int`.
        if isinstance(part, int) or inner is None or part in inner.model_fields:
            place.append(str(part))
            inner = _model_of(inner, part) or inner
    where = ".".join(filter(None, place))
    if fault["type"] == "extra_forbidden":
        owner = where or (model.__name__ if model else "It")
        return f"{owner} has no argument {last!r}; {suggestion(str(last), _names(inner))}"
    if fault["type"] == "missing":
        return f"{model.__name__ if model else 'It'} needs the argument {where or last!r}."
    return sentence_of(where, fault)


def sentence_of(name: str, fault: ErrorDetails) -> str:
    """Return what is wrong with a value as a sentence, with its name if it has one.

    Example:
        >>> sentence_of("a.b", {"type": "int_type", "loc": (), "msg": "", "input": 0})
        'a.b must be a whole number.'
    """
    words = words_of(fault)
    if words.startswith(("must ", "is ", "has ")):
        return f"{name or 'It'} {words}."
    return f"{name}: {words}." if name else f"{words}."


def words_of(fault: ErrorDetails) -> str:
    """Return what is wrong with a value, to follow its name; never the value itself.

    Example:
        >>> words_of({"type": "at_least", "loc": (), "msg": "Input should be 1", "input": 0})
        'must be 1'
    """
    words = _WORDS.get(fault["type"])
    if words is None:
        said = fault["msg"].removeprefix("Value error, ").rstrip(".")
        return said.replace("Input should", "must", 1)
    limits = fault.get("ctx", {})
    if "{unit}" in words:
        most = limits.get("max_length", limits.get("min_length"))
        unit = "character" if fault["type"].startswith("string") else "item"
        limits = limits | {"unit": unit if most == 1 else f"{unit}s"}
    return words.format(**limits)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the nearest of the names that exist as a question, or all of them.

    Example:
        >>> suggestion("modle", ["model", "engine"])
        "did you mean 'model'?"
        >>> suggestion("x", ["model", "engine"])
        'it has engine, model.'
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}."


def _names(model: type[BaseModel] | None) -> set[str]:
    if model is None:
        return set()
    return {*model.model_fields, *getattr(model, "further_arguments", ())} - {"name"}


def _model_of(model: type[BaseModel] | None, field: int | str) -> type[BaseModel] | None:
    """Return the model that a field holds, if it holds one."""
    if model is None or field not in model.model_fields:
        return None
    kinds = [model.model_fields[str(field)].annotation]
    while kinds:
        kind = kinds.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        kinds += get_args(kind)
    return None
