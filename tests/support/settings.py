"""What the environment of a test must not hold."""

import os

from langsmith import utils


def forget_langsmith_settings(monkeypatch):
    """Take LangSmith's settings out of the environment, and out of its client's cache."""
    for name in list(os.environ):
        if name.startswith(("LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    utils.get_env_var.cache_clear()
