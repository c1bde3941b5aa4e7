"""A chat model that answers from a recording, so that a model that went dark can be compared."""

from collections.abc import Mapping
from typing import Any

import httpx2
import orjson
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_finetune.content import mapping
from langchain_finetune.evaluation.failures import NOT_RECORDED
from langchain_finetune.migration.prompts import request_key
from langchain_finetune.migration.recording import ModelRecording

_ADDRESS = "http://recording.invalid/v1"
_REFUSED = 422
"""Status of the answer to other requests; not 404, which clients take for a missing model."""

_DISTINGUISHING = ("response_format", "tool_choice")


def recorded_model(recording: ModelRecording) -> ChatOpenAI:
    """Return a chat model that answers recorded requests with their answer at temperature 0.

    It sends nothing. A request counts as recorded if the model sees the same messages and tools;
    any other one fails with an `openai.UnprocessableEntityError`.

    Example:
        ```python
        old = recorded_model(ModelRecording.read("recorded"))
        Compare(evaluators=[correct], old=old)
        ```
    """
    transport = httpx2.MockTransport(_RecordedAnswers(recording))
    return ChatOpenAI(
        model=recording.manifest.model,
        base_url=_ADDRESS,
        api_key=SecretStr("not-needed"),
        max_retries=0,
        use_responses_api=False,
        disable_streaming=True,
        http_client=httpx2.Client(transport=transport),
        http_async_client=httpx2.AsyncClient(transport=transport),
    )


class _RecordedAnswers:
    """Answers requests of OpenAI's chat API from a recording, in place of the network."""

    def __init__(self, recording: ModelRecording) -> None:
        answers = recording.answers()
        self._found: dict[bytes, list[tuple[Mapping[str, Any], dict[str, Any]]]] = {}
        for prompt in recording.prompts():
            for answer in answers.get(prompt.id, ())[:1]:
                if answer.number == 0:
                    known = self._found.setdefault(request_key(prompt.request), [])
                    known.append((prompt.request, answer.completion))

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request; httpx2 has read its content."""
        content = request.content
        body = mapping(orjson.loads(content))
        completion = self._completion(body)
        if completion is None:
            message = "The recording has no answer to this request."
            error = {"message": message, "type": "invalid_request_error", "code": NOT_RECORDED}
            return httpx2.Response(_REFUSED, json={"error": error})
        return httpx2.Response(200, json=completion)

    def _completion(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            known = self._found.get(request_key(body), [])
        except (AttributeError, KeyError, TypeError):
            return None  # A request of another API.
        same = [
            answer
            for request, answer in known
            if all(request.get(name) == body.get(name) for name in _DISTINGUISHING)
        ]
        if same:
            return same[0]
        # An app may ask for the same in other words than its trace did; but only if it is clear.
        return known[0][1] if len(known) == 1 else None
