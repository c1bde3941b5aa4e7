"""Where chats come from: LangSmith's runs, threads and datasets, files, any `BaseChatLoader`."""
