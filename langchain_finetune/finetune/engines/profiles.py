"""What is different about each engine of OpenAI's shape, as data.

Sources of fact: the providers' guides to fine-tuning with OpenAI's SDK (OpenAI; Microsoft: the
address ends in `/openai/v1/`, no dots in the suffix; Nebius Token Factory: its address and the
variable of its key).
"""

from dataclasses import dataclass
from typing import Literal

from langchain_finetune.finetune.engines.nebius import NEBIUS_URL

Engine = Literal["openai", "azure", "nebius", "local"]


@dataclass(frozen=True)
class EngineProfile:
    """How an engine is reached, and what it wants.

    Attributes:
        name: The engine.
        key_variable: Where its key is, if it is not given.
        base_url: Its address; None is the environment's (`OPENAI_BASE_URL`, or OpenAI's own).
        needs_base_url: Whether each account has an address of its own.
        deploys: Whether a model answers only once it is deployed.
        refused_in_suffix: What a suffix must not hold.
    """

    name: Engine
    key_variable: str = "OPENAI_API_KEY"
    base_url: str | None = None
    needs_base_url: bool = False
    deploys: bool = False
    refused_in_suffix: str = ""


_PROFILES = {
    profile.name: profile
    for profile in (
        EngineProfile("openai"),
        EngineProfile("local"),
        EngineProfile(
            "azure",
            key_variable="AZURE_OPENAI_API_KEY",
            needs_base_url=True,
            deploys=True,
            refused_in_suffix=".",
        ),
        EngineProfile("nebius", key_variable="NEBIUS_API_KEY", base_url=NEBIUS_URL, deploys=True),
    )
}


def profile_of(engine: Engine) -> EngineProfile:
    """Return what is different about an engine."""
    return _PROFILES[engine]
