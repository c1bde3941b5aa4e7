"""The embedded engine: trains and serves on this machine, behind OpenAI's and LangSmith's APIs.

Needs the extra `langchain-finetune[local]`. The rest of the package reaches it over HTTP, and
uses two pure things of it: its rendering, to count tokens, and its choice of epochs, to estimate.

Internal: what programs may call is the engine's HTTP API.
"""
