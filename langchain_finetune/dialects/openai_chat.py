"""The chats of an `llm` run in OpenAI's format, as `wrap_openai` and `@traceable` write it.

Formats: `inputs = {"messages": [...], "tools": [...], ...}`; `outputs` is one of
`{"choices": [{"message": ...}]}` (OpenAI), `{"role", "content", ...}` (`wrap_anthropic`, and
openai-agents), `{"message": ...}`, `{"messages": [...]}`, `{"output": message or text}`,
`{"output": ["assistant", text]}` (`@traceable`, as LangSmith documents it).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, mapping
from langchain_finetune.dialects.messages import read_messages
from langchain_finetune.dialects.request_settings import add_settings
from langchain_finetune.messages import WireMessages
from langchain_finetune.sessions import FineTuningSession


def read_chats(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    """Yield the chats of a run: the request, one of the answers, and the tools.

    Raises:
        UnreadableChatError: The run has no chat that the wire form can represent.
    """
    inputs = mapping(run.get("inputs"))
    sent = _sent(inputs)
    extra = mapping(run.get("extra"))
    params = {**mapping(extra.get("invocation_params")), **inputs}
    # Anthropic's content is a list of blocks; OpenAI's chat format has text and calls.
    provider = mapping(extra.get("metadata")).get("ls_provider")
    for answer in _answers(mapping(run.get("outputs")), sent):
        wire = read_messages(sent, joined=provider == "anthropic")
        wire += read_messages([answer], joined=True)
        session: FineTuningSession = {"messages": WireMessages(wire)}
        add_settings(session, params)
        yield session


def _sent(inputs: Mapping[str, Any]) -> list[Any]:
    """Return the messages of a request as they are stored."""
    sent = inputs.get("messages") or inputs.get("input")
    if isinstance(sent, list) and len(sent) == 1:
        batch = entries(sent[0])
        sent = batch if batch and isinstance(batch[0], Mapping) else sent
    if not sent and "role" in inputs:
        sent = [inputs]  # openai-agents writes a single message like this.
    if not isinstance(sent, list) or not sent:
        raise UnreadableChatError("no_chat", "The run's inputs contain no list of messages.")
    if inputs.get("system"):
        return [{"role": "system", "content": inputs["system"]}, *sent]
    return sent


def _answers(outputs: Mapping[str, Any], sent: list[Any]) -> list[Any]:
    """Return the answers, one message each."""
    if choices := entries(outputs.get("choices")):
        return [mapping(choice).get("message") for choice in choices]
    if "role" in outputs:
        return [outputs]
    answer = outputs.get("message") or outputs.get("messages") or outputs.get("output")
    if isinstance(answer, str):
        return [{"role": "assistant", "content": answer}]
    if isinstance(answer, Mapping):
        return [answer]
    answers = entries(answer)
    if len(answers) == 2 and all(isinstance(part, str) for part in answers):  # noqa: PLR2004
        return [answers]  # Role and content.
    if answers[: len(sent)] == sent:
        answers = answers[len(sent) :]
    if len(answers) != 1:
        raise UnreadableChatError("no_answer", "The run's outputs contain no single answer.")
    return answers
