"""Reading a list of the engine page by page, no further than it is wanted."""

from collections.abc import Callable
from functools import partial
from typing import Any

from openai import OpenAIError

from langchain_finetune.finetune.account import Account
from langchain_finetune.finetune.flow import Flow
from langchain_finetune.finetune.retry import LIST, Retry, ask


class Pages:
    """A list that the engine gives page by page.

    It ends also where a page brings nothing new: a server may give the same one for ever.

    Args:
        request: Given the SDK's client and `after`, the id to go on behind, returns the raw answer.
        place: Where to ask.
        most: Pages that are asked for at most.
        none_if: Which refusals mean that there is no such list.
        retry: How often to ask for each page; None for the place's own.

    Attributes:
        more: Whether there may be another page.

    Example:
        ```python
        files = Pages(list_files, place)
        while files.more:
            for file in (yield from files.following()):
                ...
        ```
    """

    def __init__(
        self,
        request: Callable[..., Any],
        place: Account,
        *,
        most: int | None = None,
        none_if: Callable[[OpenAIError], bool] = lambda _: False,
        retry: Retry | None = None,
    ) -> None:
        self._request = request
        self._place = place
        self._left = most
        self._none_if = none_if
        self._retry = retry or place.retry
        self._after: str | None = None
        self._seen: set[str] = set()
        self.more = True

    def following(self) -> Flow[list[Any]]:
        """Return what the next page brings; an entry that came before does not come again.

        Raises:
            EngineError: The engine does not answer, or refuses.
        """
        page = yield from ask(
            partial(self._request, after=self._after),
            self._place.base_url,
            LIST,
            none_if=self._none_if,
            retry=self._retry,
        )
        fresh = {one.id: one for one in page.data if one.id not in self._seen} if page else {}
        if self._left is not None:
            self._left -= 1
        self.more = bool(fresh) and getattr(page, "has_more", False) and self._left != 0
        if self.more:
            self._seen |= fresh.keys()
            self._after = page.data[-1].id
        return list(fresh.values())
