"""Chats from Arize Phoenix."""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from langchain_finetune.dialects.phoenix import read_span
from langchain_finetune.dialects.stored_trace import StoredTrace
from langchain_finetune.errors import LoadError
from langchain_finetune.extras import require_modules
from langchain_finetune.loaders.stores import StoreChatLoader, refused

_PAGE = 100
"""Spans in one response, and most ids in one request for annotations."""

_NOT_FOUND = 404


class PhoenixChatLoader(StoreChatLoader):
    """Load chats from Arize Phoenix: one session for each span of the kind `LLM`.

    It needs the extra `phoenix`, which is Phoenix' client only, and a server of version 14 or
    newer.
    A file with the spans that the client's `get_spans` returned is read by `RunFileChatLoader`.

    Conditions on feedback are on annotations: of the trace or its root span, or of the span
    (`on="run"`); an annotation's label is the `value`. Tags are those that OpenInference records
    (`using_attributes(tags=...)`). A session of Phoenix is the `thread_id`.

    Args:
        project_name: Name of the project, or its id, which those with `/`, `?` or `#` in their
            names need.
        client: A `phoenix.client.Client`; by default one from the environment
            (`PHOENIX_COLLECTOR_ENDPOINT`, `PHOENIX_API_KEY`).
        settings: `tags`, `feedback`, `start_time`, `end_time`, `limit` as of `RunQuery`; `where`,
            `calls`, `internal_calls`, `reasoning`, `strict` as of `LangSmithRunChatLoader`.

    Example:
        ```python
        loader = PhoenixChatLoader(
            project_name="support", feedback={"key": "correctness", "value": "correct"}
        )
        examples = (loader | Convert()).invoke({})
        ```
    """

    project_name: str

    def pages(self) -> Iterator[Iterable[StoredTrace]]:
        """Yield the spans of model calls with their annotations, newest first, page by page.

        Raises:
            LoadError: Phoenix can't be reached, rejects the key, or has no such project.
        """
        require_modules("PhoenixChatLoader", "phoenix", "phoenix")
        import httpx  # noqa: PLC0415 - Phoenix' client
        from phoenix.client import Client  # noqa: PLC0415 - of the extra `phoenix`

        # Its `get_spans` holds all spans of a project in memory.
        http = (self.client or Client())._client  # noqa: SLF001
        asked = {"span_kind": "LLM", "limit": _PAGE}
        asked |= {"start_time": self.start_time.isoformat()} if self.start_time else {}
        asked |= {"end_time": self.end_time.isoformat()} if self.end_time else {}
        try:
            for spans in self._answers(http, "spans", asked):
                found = list(self._annotations(http, spans)) if self.feedback else []
                yield [read_span(span, found) for span in spans]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == _NOT_FOUND:
                raise LoadError(
                    f"Phoenix has no project {self.project_name!r}. One with / ? or # in its name"
                    " is only found by its id."
                ) from error
            raise refused("Phoenix", error) from error
        except httpx.HTTPError as error:
            raise refused("Phoenix", error) from error
        finally:
            if self.client is None:
                http.close()

    def _annotations(self, http: Any, spans: list[Any]) -> Iterator[Any]:
        """Yield the annotations on spans and their traces; those on roots as on their traces."""
        traces = sorted({span["context"]["trace_id"] for span in spans})
        names = sorted({each.key for each in self.feedback})
        asked: dict[str, Any] = {"include_annotation_names": names, "limit": _PAGE}
        ids = [span["context"]["span_id"] for span in spans]
        roots: dict[str, str] = {}
        if any(each.on == "root" for each in self.feedback):
            of_traces = {"trace_id": traces, "parent_id": "null", "limit": _PAGE}
            for page in self._answers(http, "spans", of_traces):
                roots |= {each["context"]["span_id"]: each["context"]["trace_id"] for each in page}
            for page in self._answers(http, "trace_annotations", {**asked, "trace_ids": traces}):
                yield from page
        both = sorted({*roots, *ids})
        for some in (both[at : at + _PAGE] for at in range(0, len(both), _PAGE)):
            for page in self._answers(http, "span_annotations", {**asked, "span_ids": some}):
                for each in page:
                    trace = roots.get(each["span_id"])
                    yield {**each, "span_id": None, "trace_id": trace} if trace else each

    def _answers(self, http: Any, what: str, asked: dict[str, Any]) -> Iterator[list[Any]]:
        """Yield the pages of a list of the project."""
        cursor = None
        while True:
            answer = http.get(
                f"v1/projects/{quote(self.project_name, safe='')}/{what}",
                params={**asked, **({"cursor": cursor} if cursor else {})},
            )
            answer.raise_for_status()
            page = answer.json()
            yield page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return
