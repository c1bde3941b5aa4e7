"""Loaders of chats: LangSmith's runs, threads and datasets, files, and any `BaseChatLoader`.

Internal: `langchain_finetune` exports what is public.
"""
