"""`tool_choice` and the older `function_call`: whether and which tools are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_finetune.local.serving.fields import Fields, invalid


@dataclass(frozen=True)
class ToolChoice:
    """Which tools may, or must, be called.

    Attributes:
        mode: `auto` leaves it to the model; `required` is one call at least.
        names: Only these; None for all that are offered.
        named: A single tool is named, in which case OpenAI's API ends with `stop`.
    """

    mode: Literal["none", "auto", "required"]
    names: frozenset[str] | None = None
    named: bool = False

    @property
    def forced(self) -> bool:
        """The answer has to be a call."""
        return self.mode == "required"

    @property
    def restricted(self) -> bool:
        """Not all that is offered may be called."""
        return self.names is not None

    def allows(self, name: str) -> bool:
        """Tell whether a tool may be called."""
        return self.names is None or name in self.names


def read_tool_choice(given: Fields) -> ToolChoice:
    """Read `tool_choice`, or `function_call` where functions are offered.

    Raises:
        ApiError: 400; it is malformed, or names what is not offered.
    """
    for field, offers in (("tool_choice", "tools"), ("function_call", "functions")):
        value = given.get(field)
        if value is None:
            continue
        choice = _read(field, value)
        offered = {_name(offer) for offer in given.get(offers) or ()}
        if choice.forced and not offered:
            raise invalid(field, f"is only allowed when '{offers}' are specified")
        for name in choice.names or ():
            if name not in offered:
                raise invalid(field, f"names '{name}', which is not among the {offers}")
        return choice
    return ToolChoice("auto")


def _read(field: str, value: Any) -> ToolChoice:
    match value:
        case "none" | "auto" | "required":
            if value == "required" and field == "function_call":
                raise invalid(field, "must be 'none', 'auto' or the name of a function")
            return ToolChoice(value)
        case {"type": "function", "function": {"name": str(name)}} if field == "tool_choice":
            return ToolChoice("required", frozenset({name}), named=True)
        case {"name": str(name)} if field == "function_call":
            return ToolChoice("required", frozenset({name}), named=True)
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]},
        } if tools:
            names = [_name(tool) for tool in tools]
            if not all(names):
                raise invalid(f"{field}.allowed_tools.tools", "must be functions with names")
            return ToolChoice(mode, frozenset(names))
    raise invalid(field, "is no choice that this engine knows")


def _name(offer: Any) -> str:
    """Return the name of a tool, of a legacy function, or of a choice; "" where it has none."""
    function = offer.get("function", offer) if isinstance(offer, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""
