"""Answers of models, over OpenAI's Chat Completions, Completions and Responses APIs."""

from langchain_finetune.local.models import Models
from langchain_finetune.local.serving.service import ChatService
from langchain_finetune.local.serving.settings import ServingSettings, read_settings
from langchain_finetune.local.serving.upstream import Upstream

__all__ = ["ChatService", "ServingSettings", "make_chat", "read_settings"]


def make_chat(models: Models, settings: ServingSettings) -> ChatService | Upstream:
    """Return what answers chats, as the settings say."""
    if settings.upstream:
        return Upstream(settings.upstream, models.adapter)
    return ChatService(models.loadable, memory=settings.memory)
