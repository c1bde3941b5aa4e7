"""Reading that skips what it can't read, with the reason."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from langchain_finetune.content import UnreadableChatError
from langchain_finetune.sessions import Skip

Read = TypeVar("Read")


def readable(
    source_id: str, read: Callable[[], list[Read]], skip: Callable[[Skip], None]
) -> Iterator[Read]:
    """Yield what `read` makes of data, or skip it: one bad chat ends no iteration.

    Args:
        source_id: Where the chat comes from, for the skip.
        read: A pure reader of data from outside.
        skip: Called with the chat that is left out.
    """
    try:
        found = read()
    except UnreadableChatError as error:
        skip(Skip(source_id, error.code, str(error)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # Data from outside can be shaped in any way.
        skip(Skip(source_id, "malformed", "The data has no shape that is known."))
    else:
        yield from found
