"""LangSmith's wrappers of the providers' SDKs."""

import asyncio

import langsmith
from common import PROVIDER, each_case
from langsmith import wrappers
from sdks import client

WRAP = {"anthropic": "wrap_anthropic", "gemini": "wrap_gemini"}.get(PROVIDER, "wrap_openai")
made, ask = client()
wrapped = getattr(wrappers, WRAP)(made)


async def asked(case):
    ask(wrapped, case)


asyncio.run(each_case(asked))
langsmith.Client().flush()
langsmith.run_trees.get_cached_client().flush()
