"""Where chats come from: LangSmith's runs, threads and datasets, files, any `BaseChatLoader`.

Internal: `langchain_finetune` exports what is public.
"""
