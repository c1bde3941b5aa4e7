"""Prompt and completion of an `llm` run of a plain language model, which is not a chat.

Formats: `inputs.prompts = [text, ...]`, `outputs.generations = [[{"text": ...}]]` (LangChain's
tracer); `inputs.prompt`, `outputs.choices[].text` (`wrap_openai`). The session has the
prompt as a user message, the completion as an assistant message, and `kind: completion` in its
source, since the model saw plain text without roles.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.content import UnreadableChatError, entries, mapping
from langchain_finetune.dialects.messages import mark_cut_off
from langchain_finetune.dialects.request_settings import RequestSettings
from langchain_finetune.messages import WireMessages
from langchain_finetune.sessions import FineTuningSession


def is_completion(run: Mapping[str, Any]) -> bool:
    """Return whether a run is one of a plain language model."""
    inputs = mapping(run.get("inputs"))
    prompt = inputs.get("prompt")
    # The AI SDK's prompt is a list of messages.
    is_text = isinstance(prompt, str) or isinstance(next(iter(entries(prompt)), ""), str)
    has_prompt = "prompt" in inputs and is_text
    return "prompts" in inputs or (has_prompt and "messages" not in inputs)


def read_chats(run: Mapping[str, Any]) -> Iterator[FineTuningSession]:
    """Yield each prompt with each of its completions.

    Raises:
        UnreadableChatError: The run has no prompt or no completion, or the model saw more than the
            prompt, such as a `suffix`.
    """
    inputs, outputs = mapping(run.get("inputs")), mapping(run.get("outputs"))
    settings = RequestSettings(inputs, mapping(run.get("extra")), ("prompt", "prompts"))
    prompts = entries(inputs.get("prompts"))
    rows = entries(outputs.get("generations"))
    if "prompts" not in inputs:
        # OpenAI accepts several prompts at once, and then numbers the choices.
        prompt = inputs.get("prompt")
        prompts = prompt if isinstance(prompt, list) else [prompt]
        rows = [entries(outputs.get("choices"))]
    elif rows and not isinstance(rows[0], list):
        rows = [rows]
    if not prompts or len(prompts) != len(rows) or not all(rows):
        raise UnreadableChatError("no_chat", "The run has no completion of each prompt.")
    for prompt, generations in zip(prompts, rows, strict=True):
        for generation in generations:
            text = mapping(generation).get("text")
            if not isinstance(prompt, str) or not isinstance(text, str) or "message" in generation:
                # A chat traced as one text: the messages that were sent are unknown.
                raise UnreadableChatError("no_chat", "The run has no prompt and completion.")
            wire = [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
            for holder in (generation, generation.get("generation_info")):
                mark_cut_off(wire[-1], holder)
            session: FineTuningSession = {
                "messages": WireMessages(wire),
                "source": {"kind": "completion"},
            }
            settings.require_read(session, wire)
            if settings.system:
                raise UnreadableChatError("unread_setting", "A completion has no instructions.")
            yield session
