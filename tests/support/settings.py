"""What the environment of a test must not hold."""

import os

from langsmith import utils


def forget_langsmith_settings(monkeypatch):
    """Take LangSmith's settings out of the environment, and out of its client's cache."""
    for name in list(os.environ):
        is_own = name.startswith("LANGCHAIN_FINETUNE_")
        if name.startswith(("LANGSMITH_", "LANGCHAIN_")) and not is_own:
            monkeypatch.delenv(name)
    utils.get_env_var.cache_clear()
