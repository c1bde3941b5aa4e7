"""What each provider of fine-tuning takes: data, each with its source. As of November 2026.

- OpenAI: the guides on supervised and vision fine-tuning and the API reference
  (developers.openai.com/api/docs). The chat API's own answers (400) say what it refuses in
  messages and tools: names out of pattern, images outside of user messages, empty lists, schemas
  that are none. A training file is made of such messages, so it is held to the same.
- OpenAI's special tokens: "message contains an invalid token: <|fim_suffix|>" is how a job fails
  (github.com/johny-b/llmcomp, issue 59); the names are those of tiktoken and of ChatML.
- Azure: learn.microsoft.com, "vision fine-tuning" (64 images) and "customize a model" (UTF-8 with
  a byte order mark, 512 MB). Two answers in a row failed there as an invalid schema
  (github.com/microsoft-foundry/fine-tuning, issue 23), which no page says: a warning.
- Nebius: docs.tokenfactory.nebius.com/post-training/datasets (50 GB; text; the last message is a
  text answer, no call). It trains open models, whose templates differ: what it does not say, is a
  warning.
- Local: what the embedded engine does. It trains on text alone, and its base speaks ChatML.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

RulesName = Literal["openai", "azure", "nebius", "local"]
"""Whose rules: the name of a profile."""

_MB = 1024 * 1024
_ANY_KEYS = frozenset({"role", "content", "name"})
_KEYS: Mapping[str, frozenset[str]] = {
    "system": _ANY_KEYS,
    "developer": _ANY_KEYS,
    "user": _ANY_KEYS,
    "assistant": _ANY_KEYS
    | {"tool_calls", "function_call", "weight", "refusal", "audio", "annotations"},
    "tool": _ANY_KEYS | {"tool_call_id"},
    "function": _ANY_KEYS,
}
_CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_OPENAI_TOKENS = (
    *_CHATML,
    "<|im_sep|>",
    "<|endofprompt|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile:
    """The rules of one provider.

    Attributes:
        name: What `Convert(rules=...)` calls it.
        keys: The roles, and what a message of each may hold.
        parts: Kinds of content parts that can be trained on.
        max_images: Most images of one example; 0 where it takes none.
        max_image_bytes: Most bytes of one image, decoded.
        image_types: What an image may be.
        max_tools: Most tools, or functions, of one example (OpenAI's API reference).
        function_name: Pattern of a function's name (OpenAI's API reference).
        message_name: Pattern of a message's `name` (its chat API's answer).
        special_tokens: Control tokens that no text may hold. All have `<|` in them.
        min_examples: Fewest examples of a training file (OpenAI's guide).
        max_file_bytes: Most bytes of one file.
        max_example_bytes: Most bytes of one line. No provider names one; it is far above what
            a context can hold, and spares a reader's memory.
        text_answer_last: The last message must be text, no call.
        warnings: Codes of rules that this provider is not known to enforce.
    """

    name: RulesName
    keys: Mapping[str, frozenset[str]]
    parts: frozenset[str] = frozenset({"text", "refusal", "image_url"})
    max_images: int = 10
    max_image_bytes: int = 10 * _MB
    image_types: frozenset[str] = frozenset({"image/jpeg", "image/png", "image/webp"})
    max_tools: int = 128
    function_name: str = "[a-zA-Z0-9_-]{1,64}"
    message_name: str = r"[^\s<|\\/>]{1,64}"
    special_tokens: tuple[str, ...] = _OPENAI_TOKENS
    min_examples: int = 10
    max_file_bytes: int = 512 * _MB
    max_example_bytes: int = 160 * _MB
    text_answer_last: bool = False
    warnings: frozenset[str] = frozenset()

    @cached_property
    def roles(self) -> frozenset[str]:
        """The roles that it knows."""
        return frozenset(self.keys)


_UNPROVEN = frozenset({"consecutive_answers", "late_system"})
"""Accepted or refused: no source says."""

_OPEN_MODELS = frozenset(
    {
        # Open models' templates print any name and look at no schema.
        "empty_functions",
        "empty_tool_calls",
        "empty_tools",
        "invalid_call_name",
        "invalid_name",
        "invalid_tool_name",
        "invalid_tool_schema",
        "parallel_without_tools",
        "untyped_call",
        "untyped_tool",
        "weight_outside_assistant",
    }
)

OPENAI = Profile(name="openai", keys=_KEYS, warnings=_UNPROVEN)

AZURE = Profile(name="azure", keys=_KEYS, max_images=64, warnings=_UNPROVEN)

NEBIUS = Profile(
    name="nebius",
    keys={role: _KEYS[role] for role in ("system", "user", "assistant", "tool")},
    parts=frozenset({"text"}),
    max_images=0,
    special_tokens=_CHATML,
    max_file_bytes=50 * 1024 * _MB,
    max_example_bytes=16 * _MB,
    text_answer_last=True,
    warnings=_UNPROVEN | _OPEN_MODELS | {"call_last", "special_token"},
)

LOCAL = Profile(
    name="local",
    keys={**_KEYS, "assistant": _KEYS["assistant"] | {"reasoning_content"}},
    parts=frozenset({"text", "refusal"}),
    max_images=0,
    special_tokens=_CHATML,
    max_example_bytes=16 * _MB,
    warnings=_UNPROVEN | _OPEN_MODELS,
)

PROFILES: Mapping[RulesName, Profile] = {
    profile.name: profile for profile in (OPENAI, AZURE, NEBIUS, LOCAL)
}
"""All of them, by name."""
