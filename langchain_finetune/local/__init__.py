"""The embedded engine: trains and serves on this machine, behind OpenAI's and LangSmith's APIs.

Requires the extra `langchain-finetune[local]`. The rest of the package reaches it over HTTP and
imports only two pure parts: chat rendering, to count tokens, and the choice of epochs, to
estimate costs.

Internal: programs may use the engine's HTTP API.
"""
