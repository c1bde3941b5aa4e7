"""The embedded engine: trains and serves on this machine, behind OpenAI's and LangSmith's APIs.

Requires the extra `langchain-finetune[local]`. The rest of the package reaches it over HTTP. It
imports its parts only to count tokens (`convert/tokens`), to estimate epochs (`engines/local.py`),
and in the commands that start the engine, prepare bases and export models.

Internal: programs may use the engine's HTTP API.
"""
