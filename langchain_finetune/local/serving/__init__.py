"""Chats with the models that lie on this machine, over OpenAI's Chat Completions API."""

from langchain_finetune.local.serving.service import ChatService

__all__ = ["ChatService"]
