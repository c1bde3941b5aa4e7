"""LangSmith's client as the loaders use it: made for reading, its errors said as this package's."""

from collections.abc import Iterator
from contextlib import contextmanager

from langsmith import Client
from langsmith.utils import (
    LangSmithAuthError,
    LangSmithConnectionError,
    LangSmithError,
    LangSmithNotFoundError,
)

from langchain_finetune.errors import LoadError


def reading_client() -> Client:
    """Return a client from the environment that only reads.

    Without batch tracing it starts no thread, which would log where LangSmith can't be reached.
    """
    return Client(auto_batch_tracing=False)


@contextmanager
def reading(client: Client, what: str) -> Iterator[None]:
    """Turn what the client raises into a `LoadError` that says what to do.

    Args:
        client: The client that reads.
        what: What is read, for the message, such as `project 'app'`.
    """
    try:
        yield
    except LangSmithNotFoundError as error:
        raise LoadError(f"LangSmith at {client.api_url} has no {what}.") from error
    except LangSmithAuthError as error:
        raise LoadError(
            f"LangSmith at {client.api_url} does not accept the key: set LANGSMITH_API_KEY."
        ) from error
    except LangSmithConnectionError as error:
        raise LoadError(
            f"Nothing answers at {client.api_url}: is LANGSMITH_ENDPOINT right, and is it running?"
        ) from error
    except LangSmithError as error:
        # The client's text names the request and the server's sentence, no run data.
        raise LoadError(f"LangSmith could not give {what}: {_first_line(error)}") from error


def _first_line(error: LangSmithError) -> str:
    return (str(error).splitlines() or [""])[0][:300]
