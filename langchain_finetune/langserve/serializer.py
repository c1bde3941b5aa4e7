"""A fine-tuned model on its way over HTTP: its name and lineage, never a key."""

from typing import Any

import orjson
from langchain_openai import ChatOpenAI
from langserve.serialization import Serializer, WellKnownLCSerializer
from pydantic import BaseModel, ConfigDict, SecretStr

_KIND = "langchain_finetune.chat_model"


class ModelManifest(BaseModel):
    """What is sent of a model.

    Attributes:
        kind: Tells such an object from others.
        model: Its name.
        base_url: Address of the engine that serves it.
        metadata: Where it comes from, such as `{"job_id": ..., "base_model": ...}`.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    kind: str = _KIND
    model: str
    base_url: str | None = None
    metadata: dict[str, Any] = {}


class FineTuneSerializer(Serializer):  # type: ignore[misc]  # LangServe's types are not read
    """Sends a fine-tuned `ChatOpenAI` as data, and makes one with the receiver's own key.

    Only names travel: no key, no headers, and nothing is revived from what the server sends.

    Args:
        api_key: The receiver's key for the engine that serves the model. Without it, what is
            received stays a plain `dict`: a key from the environment would go to whatever
            address the server names.
        base_url: Address of the engine as the receiver reaches it, instead of the server's own.
        settings: Further arguments of the receiver's `ChatOpenAI`.

    Example:
        ```python
        remote = RemoteRunnable(
            "http://host/finetune/model", serializer=FineTuneSerializer(api_key=key)
        )
        model = remote.invoke({"job_id": "ftjob-..."})
        ```
    """

    def __init__(
        self,
        api_key: str | SecretStr | None = None,
        *,
        base_url: str | None = None,
        **settings: Any,
    ) -> None:
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._base_url = base_url
        self._settings = settings
        self._known = WellKnownLCSerializer()

    def dumps(self, obj: Any) -> bytes:
        """Return an object as JSON; models in it as manifests."""
        return orjson.dumps(obj, default=_plain)

    def loadd(self, obj: Any) -> Any:
        """Return what JSON means; a manifest becomes a `ChatOpenAI` where there is a key."""
        if not (isinstance(obj, dict) and obj.get("kind") == _KIND):
            return self._known.loadd(obj)
        manifest = ModelManifest.model_validate(obj)
        if self._api_key is None:
            return manifest.model_dump()
        return ChatOpenAI(
            model=manifest.model,
            base_url=self._base_url or manifest.base_url,
            api_key=self._api_key,
            metadata=manifest.metadata,
            **self._settings,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, ChatOpenAI):
        manifest = ModelManifest(
            model=value.model_name, base_url=value.openai_api_base, metadata=value.metadata or {}
        )
        return manifest.model_dump()
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"An object of type {type(value).__name__} can't be sent.")
