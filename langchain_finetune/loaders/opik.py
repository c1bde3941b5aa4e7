"""Chats from Opik."""

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_finetune.dialects.opik import read_trace
from langchain_finetune.dialects.stored_trace import StoredTrace
from langchain_finetune.extras import require_modules
from langchain_finetune.loaders.stores import StoreChatLoader, refused

_PAGE = 100
"""Spans in one response; the trace of each is a request of its own."""


class OpikChatLoader(StoreChatLoader):
    """Load chats from Opik: one session for each span of the type `llm`; needs the extra `opik`.

    Files of `opik export` are read by `RunFileChatLoader`.

    Opik's tracer of LangChain keeps no tools: a chat that calls some is skipped as
    `incomplete_trace`, and others are counted in `Sessions.notes["tools_unknown"]`. Conditions on
    feedback are on Opik's scores: of the trace, or of the span (`on="run"`).

    Args:
        project_name: Name of the project.
        client: An `opik.Opik`; by default one from the environment or the configuration file
            (`OPIK_API_KEY`, `OPIK_WORKSPACE`, `OPIK_URL_OVERRIDE`).
        settings: `tags`, `feedback`, `start_time`, `end_time`, `limit` as of `RunQuery`; `where`,
            `calls`, `internal_calls`, `reasoning`, `strict` as of `LangSmithRunChatLoader`.

    Example:
        ```python
        loader = OpikChatLoader(project_name="support", feedback={"key": "helpful", "above": 0})
        examples = (loader | Convert()).invoke({})
        ```
    """

    project_name: str

    def pages(self) -> Iterator[Iterable[StoredTrace]]:
        """Yield the spans of model calls with their traces, newest first, page by page.

        Raises:
            LoadError: Opik can't be reached, rejects the key, or has no such project.
        """
        require_modules("OpikChatLoader", "opik", "opik")
        import httpx  # noqa: PLC0415 - Opik's client
        from opik import Opik  # noqa: PLC0415 - of the extra `opik`
        from opik.exceptions import OpikException  # noqa: PLC0415
        from opik.rest_api.core.api_error import ApiError  # noqa: PLC0415

        bounds = ((">=", self.start_time), ("<", self.end_time))
        filters = ['type = "llm"']
        filters += [f'start_time {sign} "{time.isoformat()}"' for sign, time in bounds if time]
        last: list[str] = []
        client: Any = None
        try:
            client = self.client or Opik()
            while True:
                spans = client.search_spans(
                    project_name=self.project_name,
                    filter_string=" AND ".join(filters + last),
                    max_results=_PAGE,
                    truncate=False,
                )
                yield from (self._page(client, spans),) if spans else ()
                if len(spans) < _PAGE:
                    return
                last = [f'id < "{spans[-1].id}"']
        except (ApiError, OpikException, httpx.HTTPError) as error:
            raise refused("Opik", error) from error
        finally:
            if client and client is not self.client:
                client.end()

    @staticmethod
    def _page(client: Any, spans: list[Any]) -> list[StoredTrace]:
        """Return the runs of spans, with what only their traces have."""
        traces = {
            trace_id: client.get_trace_content(trace_id).model_dump(mode="json")
            for trace_id in dict.fromkeys(span.trace_id for span in spans)
        }
        return [
            read_trace({"trace": traces[span.trace_id], "spans": [span.model_dump(mode="json")]})
            for span in spans
        ]
