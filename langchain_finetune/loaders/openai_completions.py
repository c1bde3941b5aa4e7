"""Chats that OpenAI stored for the account: chat completions with `store=True`."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, Self

from openai import OpenAI, OpenAIError
from pydantic import model_validator

from langchain_finetune.content import mapping
from langchain_finetune.dialects.file_row import run_of_row
from langchain_finetune.dialects.stored_trace import StoredTrace, named_tags
from langchain_finetune.loaders.stores import StoreChatLoader, refused

_PAGE = 20
"""Completions in one response; the messages of each are a request of their own."""


class StoredCompletionsChatLoader(StoreChatLoader):
    """Load chats from chat completions that OpenAI stored, those with `store=True`.

    OpenAI keeps no feedback, so it cannot be a condition. `tags` are names of a completion's
    metadata, or `name=value`. Files that `rescue` wrote are read by `RunFileChatLoader`.

    Args:
        model: Only completions of this model.
        client: An `openai.OpenAI`; by default one from the environment (`OPENAI_API_KEY`).
        settings: `tags`, `start_time`, `end_time`, `limit` as of `RunQuery`; `where`, `calls`,
            `internal_calls`, `reasoning`, `strict` as of `LangSmithRunChatLoader`.

    Example:
        ```python
        loader = StoredCompletionsChatLoader(model="gpt-4.1-mini", tags="app=support")
        examples = (loader | Convert()).invoke({})
        ```
    """

    model: str | None = None

    @model_validator(mode="after")
    def _without_feedback(self) -> Self:
        if self.feedback:
            raise ValueError("OpenAI keeps no feedback on stored completions")
        return self

    def pages(self) -> Iterator[Iterable[StoredTrace]]:
        """Yield the completions, newest first, one by one.

        Raises:
            LoadError: OpenAI can't be reached, or rejects the key.
        """
        asked = {"model": self.model} if self.model else {}
        client: Any = None
        try:
            client = self.client or OpenAI()
            for each in client.chat.completions.list(order="desc", limit=_PAGE, **asked):
                created = dt.datetime.fromtimestamp(each.created, dt.UTC)
                if self.start_time and created < self.start_time:
                    return
                completion = each.to_dict(mode="json")
                tags = named_tags(mapping(completion.get("metadata")))
                if (self.end_time and created >= self.end_time) or not {*self.tags} <= {*tags}:
                    continue
                messages = client.chat.completions.messages.list(each.id, limit=100)
                row = {
                    "completion": completion,
                    "messages": [message.to_dict(mode="json") for message in messages],
                }
                run = run_of_row(row, each.id) | {"start_time": created.isoformat(), "tags": tags}
                yield [StoredTrace([run], [])]
        except OpenAIError as error:
            raise refused("OpenAI", error) from error
        finally:
            if client and client is not self.client:
                client.close()
