"""The embedded engine: trains and serves on this machine, behind OpenAI's and LangSmith's APIs.

Needs the extra `langchain-finetune[local]`. The rest of the package reaches it over HTTP only.
"""
