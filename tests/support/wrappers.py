"""langsmith's wrappers, whose import warns of a name of their own."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from langsmith.wrappers import wrap_anthropic, wrap_openai

__all__ = ["wrap_anthropic", "wrap_openai"]
