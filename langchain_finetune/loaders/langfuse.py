"""Chats from Langfuse."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_finetune.dialects.langfuse import read_observation
from langchain_finetune.dialects.stored_trace import StoredTrace
from langchain_finetune.errors import LoadError
from langchain_finetune.extras import require_modules
from langchain_finetune.loaders.stores import StoreChatLoader, refused

_PAGE = 100
"""Observations in one response, and most ids in one request for scores."""

_TIMEOUT_S = 60


class LangfuseChatLoader(StoreChatLoader):
    """Load chats from Langfuse: one session for each generation; needs the extra `langfuse`.

    It reads Langfuse Cloud, and Langfuse 4 or newer on a server of your own: older ones have no
    API that lists observations with their traces. Files of a blob storage export or of the page
    are read by `RunFileChatLoader`.

    The keys determine the project. Conditions on feedback are on Langfuse's scores: of the trace,
    or of the generation (`on="run"`); a score of the type `CORRECTION` is the correction of
    `use_correction`. A session of Langfuse is the `thread_id`.

    Args:
        client: A `langfuse.Langfuse`; by default one from the environment (`LANGFUSE_PUBLIC_KEY`,
            `LANGFUSE_SECRET_KEY`, `LANGFUSE_BASE_URL`).
        settings: `tags`, `feedback`, `start_time`, `end_time`, `limit` as of `RunQuery`; `where`,
            `calls`, `internal_calls`, `reasoning`, `strict` as of `LangSmithRunChatLoader`.

    Example:
        ```python
        loader = LangfuseChatLoader(tags="support", feedback={"key": "helpful", "at_least": 1})
        examples = (loader | Convert()).invoke({})
        ```
    """

    def pages(self) -> Iterator[Iterable[StoredTrace]]:
        """Yield the generations with their scores, newest first, page by page.

        Raises:
            LoadError: Langfuse can't be reached, or rejects the keys.
        """
        require_modules("LangfuseChatLoader", "langfuse", "langfuse")
        import httpx  # noqa: PLC0415 - langfuse's client
        from langfuse.api.core.api_error import ApiError  # noqa: PLC0415 - of the extra

        try:
            with httpx.Client(timeout=_TIMEOUT_S) as connection:
                api = self.client.api if self.client else _api_from_environment(connection)
                yield from self._pages(api)
        except (ApiError, httpx.HTTPError) as error:
            raise refused("Langfuse", error) from error

    def _pages(self, api: Any) -> Iterator[Iterable[StoredTrace]]:
        cursor = None
        while True:
            page = api.observations.get_many(
                type="GENERATION",
                fields="core,basic,io,metadata,model,usage,trace_context",
                # Other values are cut off after 200 characters.
                expand_metadata="attributes,response_format,tools",
                from_start_time=self.start_time,
                to_start_time=self.end_time,
                limit=_PAGE,
                cursor=cursor,
            )
            rows = [each.model_dump(mode="json", by_alias=True) for each in page.data]
            scores = self._scores(api, sorted({str(row["traceId"]) for row in rows}))
            yield [read_observation(row, scores.get(row["traceId"], ())) for row in rows]
            cursor = page.meta.cursor
            if not cursor:
                return

    def _scores(self, api: Any, traces: list[str]) -> dict[str, list[Any]]:
        """Return the scores that the conditions need, by the trace that they are for."""
        found: dict[str, list[Any]] = {}
        cursor = None
        while traces and self.feedback:
            page = api.scores.get_many(
                name=",".join(sorted({each.key for each in self.feedback})),
                trace_id=",".join(traces),
                fields="subject",
                limit=_PAGE,
                cursor=cursor,
            )
            for each in page.data:
                score = each.model_dump(mode="json", by_alias=True)
                subject = score.get("subject") or {}
                on = subject.get("id") if subject.get("kind") == "trace" else subject.get("traceId")
                found.setdefault(str(on), []).append(score)
            cursor = page.meta.cursor
            if not cursor:
                break
        return found


def _api_from_environment(connection: Any) -> Any:
    """Return a client of Langfuse's API only: a `Langfuse` would set up tracing for the process."""
    from langfuse.api import LangfuseAPI  # noqa: PLC0415 - of the extra `langfuse`

    public, secret = (os.environ.get(f"LANGFUSE_{kind}_KEY") for kind in ("PUBLIC", "SECRET"))
    if not (public and secret):
        raise LoadError("Langfuse needs keys: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY.")
    url = os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST")
    return LangfuseAPI(
        base_url=url or "https://cloud.langfuse.com",
        username=public,
        password=secret,
        httpx_client=connection,
    )
