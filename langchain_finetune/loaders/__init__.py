"""Loaders of chats: where sessions come from.

LangSmith's runs, threads, datasets and annotation queues; files of runs; the stores of Langfuse,
MLflow, Opik, Phoenix and OpenAI; and any `BaseChatLoader`.

Internal: `langchain_finetune` exports what is public.
"""
