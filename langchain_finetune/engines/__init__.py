"""The engines that fine-tune: one module each, found through one table.

`base` is the contract, `openai_compatible` the shape that most share, `flow` what runs their
operations, sync and async alike. An engine's module holds all that is particular to it: address,
key, rules of its files, prices, limits, deployment, errors. Adding one of OpenAI's shape takes
its module and its line in `ENGINES`.

Internal: programs name an engine in `FineTune(engine=...)`; another one may be put into `ENGINES`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, WithJsonSchema

from langchain_finetune.engines.base import Engine
from langchain_finetune.errors import FineTuningError
from langchain_finetune.methods import LineKind

if TYPE_CHECKING:
    from langchain_finetune.engines.azure import AzureDeployment as AzureDeployment
    from langchain_finetune.engines.fireworks_deployment import (
        FireworksDeployment as FireworksDeployment,
    )
    from langchain_finetune.engines.nebius import NebiusDeployment as NebiusDeployment
    from langchain_finetune.engines.together_deployment import (
        TogetherDeployment as TogetherDeployment,
    )

__all__ = [
    "ENGINES",
    "AzureDeployment",
    "EngineName",
    "FireworksDeployment",
    "NebiusDeployment",
    "TogetherDeployment",
    "all_engines",
    "engine_of",
    "lines_at",
]

ENGINES: dict[str, str | Engine] = {
    "openai": "langchain_finetune.engines.openai",
    "azure": "langchain_finetune.engines.azure",
    "nebius": "langchain_finetune.engines.nebius",
    "together": "langchain_finetune.engines.together",
    "local": "langchain_finetune.engines.local",
    "tinker": "langchain_finetune.engines.tinker",
    "fireworks": "langchain_finetune.engines.fireworks",
}
"""Every engine by its name: the module whose `ENGINE` it is, imported at first use, or itself."""


def engine_of(name: str) -> Engine:
    """Return the engine of a name.

    Raises:
        FineTuningError: There is none.

    Example:
        >>> engine_of("openai").key_variable
        'OPENAI_API_KEY'
    """
    if name not in ENGINES:
        raise FineTuningError(_unknown(name))
    found = ENGINES[name]
    engine: Engine = import_module(found).ENGINE if isinstance(found, str) else found
    return engine


def all_engines() -> list[Engine]:
    """Return every engine, in the order of the table."""
    return [engine_of(name) for name in ENGINES]


def lines_at(name: str, base_url: str | None) -> tuple[LineKind, ...]:
    """Return the kinds of line that an engine trains on at an address, by default its own.

    Of another server that is reached through `openai`, such as an embedded engine elsewhere,
    nothing is known: it may take any.

    Example:
        >>> lines_at("openai", None) == lines_at("openai", "http://127.0.0.1:8000/v1")
        False
    """
    engine = engine_of(name)
    host = urlsplit(base_url or engine.default_base_url()).hostname or ""
    others = engine.price_host and not host.endswith(engine.price_host)
    return get_args(LineKind) if others else engine.lines


def _unknown(name: str) -> str:
    return f"There is no engine {name!r}; there are {', '.join(ENGINES)}."


def _known(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(_unknown(name))
    return name


EngineName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(ENGINES)})
]
"""The name of an engine in `ENGINES`."""


def __getattr__(name: str) -> Any:
    """Return the type of an engine's deployment by its name."""
    for engine in all_engines() if name.endswith("Deployment") else ():
        if engine.deployment is not None and engine.deployment.__name__ == name:
            return engine.deployment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
