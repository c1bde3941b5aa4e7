"""Which of two models answers: the old one, or a new one for a share of the threads.

`state` is pure; the embedded engine uses it for its aliases, and `chat_model` for models of any
provider.

Internal: what is public of it, `langchain_finetune` exports.
"""
