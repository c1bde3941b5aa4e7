"""The answers in the outputs of a model call, in the forms that instrumentors write.

OpenAI's `{"choices": [{"message": ...}]}`; a message by itself (`wrap_anthropic`, openai-agents,
AI SDK, `wrap_gemini`, which leaves out its role if it streams); `{"message": ...}`,
`{"messages": [...]}`, `{"output": message or text}` and `{"output": ["assistant", text]}`
(`@traceable`, as LangSmith documents it; `outputs` in JavaScript); Gemini's
`{"candidates": [...]}`; and LangGraph's state, which begins with the messages that were sent.
"""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, joined_text, mapping
from langchain_finetune.dialects.messages import mark_cut_off, read_messages
from langchain_finetune.messages import WireMessage

_WRAPPED = ("message", "messages", "output", "outputs")
_MESSAGE_KEYS = ("content", "tool_calls", "text", "toolCalls")
_PAIR = 2


def read_answers(outputs: Mapping[str, Any], sent: list[WireMessage]) -> list[list[WireMessage]]:
    """Return what follows the messages that were sent: for each answer, its messages.

    An answer is one message of the assistant; or several, with the tools' results between them.

    Raises:
        UnreadableChatError: There is no answer, or it has another form.

    Example:
        >>> read_answers({"output": ["assistant", "Hello"]}, [])
        [[{'role': 'assistant', 'content': 'Hello'}]]
    """
    if choices := entries(outputs.get("choices")):
        return [_answer(mapping(choice).get("message"), choice) for choice in choices]
    if candidates := entries(outputs.get("candidates")):
        return [_candidate(mapping(candidate)) for candidate in candidates]
    if "role" in outputs:
        return [_answer(_with_content(outputs))]
    for name in _WRAPPED:
        if answer := outputs.get(name):
            return _wrapped(answer, outputs, sent)
    if any(outputs.get(key) for key in _MESSAGE_KEYS):
        return [_answer({**_with_content(outputs), "role": "assistant"})]
    raise _no_answer()


def _with_content(outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message; a result of AI SDK 4 has `text` instead of content."""
    return outputs if "content" in outputs else {**outputs, "content": outputs.get("text")}


def _wrapped(
    answer: Any, outputs: Mapping[str, Any], sent: list[WireMessage]
) -> list[list[WireMessage]]:
    if isinstance(answer, str):
        return [_answer({"role": "assistant", "content": answer}, outputs)]
    if isinstance(answer, Mapping):
        if "type" in answer or "role" in answer or "lc" in answer or "data" in answer:
            return [_answer(answer, outputs)]
        inner = read_answers(answer, sent)
        for message in (last for *_, last in inner):
            mark_cut_off(message, outputs)  # Bedrock's reason stands beside its answer.
        return inner
    answers = entries(answer)
    if len(answers) == _PAIR and all(isinstance(part, str) for part in answers):
        return [_answer(answers)]
    return [_turns(read_messages(answers, joined=True), sent)]


def _answer(raw: Any, *holders: Any) -> list[WireMessage]:
    """Return the message of an answer; the results of its calls are not the model's."""
    message = read_messages([raw], joined=True)[:1]
    for each in message:
        if each["role"] == "assistant":
            mark_cut_off(each, *holders)
    return message


def _candidate(candidate: Mapping[str, Any]) -> list[WireMessage]:
    parts = mapping(candidate.get("content")).get("parts")
    return _answer({"role": "assistant", "content": parts}, candidate)


def _turns(messages: list[WireMessage], sent: list[WireMessage]) -> list[WireMessage]:
    """Return messages without those that were sent, if they are turns of an answer."""
    head = messages[: len(sent)]
    if len(messages) > len(sent) and list(map(_seen, head)) == list(map(_seen, sent)):
        messages = messages[len(sent) :]
    before = ""
    for message in messages:
        if message["role"] not in ("assistant", "tool") or message["role"] == before == "assistant":
            raise _no_answer()
        before = message["role"]
        if before == "assistant":
            message.pop("name", None)  # Agents add theirs.
    if before != "assistant":
        raise _no_answer()
    return messages


def _seen(message: WireMessage) -> tuple[Any, ...]:
    """Return what two writers of one message write alike."""
    calls = message.get("tool_calls") or message.get("function_call")
    return message["role"], joined_text(message.get("content")) or None, calls


def _no_answer() -> UnreadableChatError:
    return UnreadableChatError("no_answer", "The outputs contain no single answer.")
