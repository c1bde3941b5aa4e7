"""Sends a fine-tuned model over HTTP as its name and lineage, never with a key."""

from typing import Any

import orjson
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from langserve.serialization import Serializer, WellKnownLCSerializer
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import Access, same_address
from langchain_finetune.engines.addresses import without_secrets
from langchain_finetune.errors import FineTuningError

_KIND = "langchain_finetune.chat_model"
_LINEAGE = ("job_id", "base_model", "training_sha256", "training_examples")


class ModelManifest(BaseModel):
    """A model as it is sent, marked by its `kind`.

    `base_url` is the engine's address without user name, password and query; of the metadata, only
    the lineage is sent.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    kind: str = _KIND
    model: str
    base_url: str | None = None
    metadata: dict[str, str | int | None] = {}

    @classmethod
    def of(cls, model: ChatOpenAI) -> "ModelManifest":
        """Return the manifest of a model."""
        known = model.metadata or {}
        return cls(
            model=model.model_name,
            base_url=model.openai_api_base and without_secrets(model.openai_api_base),
            metadata={name: known[name] for name in _LINEAGE if name in known},
        )


class FineTuneSerializer(Serializer):  # type: ignore[misc]  # LangServe is untyped
    """Sends a fine-tuned `ChatOpenAI` as data; the receiver rebuilds it with its own key.

    Keys, headers and settings are never sent, and no object that the server sends is
    deserialized.

    Args:
        api_key: The receiver's key for the engine that serves the model. Without it, a received
            model stays a plain `dict`.
        base_url: Address of the engine that the key is for, as the receiver reaches it; by
            default `OPENAI_BASE_URL`, or OpenAI's own. The key is only ever sent to this
            address, never to one that the server names.
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
        """Return an object as JSON, with models as manifests.

        Raises:
            TypeError: The object contains something that is not data, such as another Runnable,
                whose settings could contain keys.
        """
        return orjson.dumps(obj, default=_as_data)

    def loadd(self, obj: Any) -> Any:
        """Return the object of parsed JSON, with manifests as `ChatOpenAI` if there is a key.

        Raises:
            FineTuningError: A manifest is malformed, or its model is served by an engine that
                the key is not for.
        """
        return self._revive(self._known.loadd(obj))

    def _revive(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._revive(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("kind") == _KIND:
            return self._model(value)
        return {key: self._revive(each) for key, each in value.items()}

    def _model(self, sent: dict[str, Any]) -> Any:
        try:
            manifest = ModelManifest.model_validate(sent)
        except ValidationError as error:
            raise FineTuningError(
                "The server sent a malformed model manifest; check that client and server use the"
                " same version of langchain-finetune."
            ) from error
        if self._api_key is None:
            return manifest.model_dump()
        base_url = self._base_url or engine_of("openai").default_base_url()
        served_at = manifest.base_url or base_url
        if self._base_url is None and not same_address(served_at, base_url):
            raise FineTuningError(
                f"The model is served at {served_at}, but the key is for {base_url}. If the key is"
                f" for that engine, use FineTuneSerializer(api_key, base_url={served_at!r})."
            )
        settings = {**self._settings, "metadata": manifest.metadata}
        access = Access(base_url, self._api_key)
        return engine_of("openai").chat_model(access, manifest.model, settings)


def _as_data(value: Any) -> Any:
    if isinstance(value, ChatOpenAI):
        return ModelManifest.of(value).model_dump()
    if isinstance(value, BaseModel) and not isinstance(value, Runnable):
        return value.model_dump()
    raise TypeError(f"An object of type {type(value).__name__} cannot be sent.")
