"""Loaders of chats: LangSmith's runs, threads and datasets, files, and any `BaseChatLoader`."""
