"""Ids in OpenAI's format, such as `file-3kJd82hsLq0aPzXc7vB1Nm8Q`, and the current time."""

import secrets
import string
import time

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """Return a new id of the form `{prefix}-{24 letters and digits}`."""
    return f"{prefix}-" + "".join(secrets.choice(_ALPHABET) for _ in range(24))


def now() -> int:
    """Return the current time in OpenAI's format: whole seconds since 1970."""
    return int(time.time())
