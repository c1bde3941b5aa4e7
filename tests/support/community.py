"""langchain-community, imported without the one warning that it gives."""

import importlib
import warnings


def community(module):
    """Import `langchain_community.<module>`; it is sunset and says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message=r"`langchain-community` is being sunset",
            category=DeprecationWarning,
        )
        return importlib.import_module(f"langchain_community.{module}")
