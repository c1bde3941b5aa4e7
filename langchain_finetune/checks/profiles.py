"""The rules of a training file as data: those of OpenAI and of the embedded engine.

Sources, as of November 2026:

- OpenAI: the guides on supervised and vision fine-tuning and the API reference
  (developers.openai.com/api/docs). The chat API's own answers (400) say what it refuses in
  messages and tools: names out of pattern, images outside of user messages, empty lists, schemas
  that are none. A training file is made of such messages, so it is held to the same.
- OpenAI's special tokens: "message contains an invalid token: <|fim_suffix|>" is how a job fails
  (github.com/johny-b/llmcomp, issue 59); the names are those of tiktoken and of ChatML.
- Local: what the embedded engine does. It trains on text alone, and its base speaks ChatML.

Those of every other engine stand in its module in `engines`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MB = 1024 * 1024
_ANY_KEYS = frozenset({"role", "content", "name"})
KEYS: Mapping[str, frozenset[str]] = {
    "system": _ANY_KEYS,
    "developer": _ANY_KEYS,
    "user": _ANY_KEYS,
    "assistant": _ANY_KEYS
    | {"tool_calls", "function_call", "weight", "refusal", "audio", "annotations"},
    "tool": _ANY_KEYS | {"tool_call_id"},
    "function": _ANY_KEYS,
}
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_OPENAI_TOKENS = (
    *CHATML_TOKENS,
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
        remote_images: Images may be given by their address.
        image_types: What an image may be.
        max_tools: Most tools, or functions, of one example (OpenAI's API reference).
        function_name: Pattern of a function's name (OpenAI's API reference).
        message_name: Pattern of a message's `name` (its chat API's answer).
        special_tokens: Control tokens that no text may hold. All have `<|` in them.
        min_examples: Fewest examples of a training file (OpenAI's guide).
        max_file_bytes: Most bytes of one file.
        max_example_bytes: Most bytes of one line. No provider names one; it is far above what
            a context can hold, and spares a reader's memory.
        functions: Takes OpenAI's older `functions`, and calls and results in their form.
        left_out: Keys of examples and messages that `Convert` leaves out of a line, and counts.
        text_answer_last: The last message must be text, no call.
        text_roles: Roles whose text should be one string. OpenAI's chat API takes a list of parts;
            its file check was reported to refuse one (community.openai.com, topic 965584, 2024).
        response_format: A line may hold the request's `response_format`. OpenAI's API reference
            (`FineTuneChatRequestInput`) has no such field, nor has Azure's guide or Nebius's.
        warnings: Codes of rules that this provider is not known to enforce.
        within_openai: A chat of plain text in which OpenAI's rules find nothing meets these, too.
    """

    name: str
    keys: Mapping[str, frozenset[str]]
    parts: frozenset[str] = frozenset({"text", "refusal", "image_url"})
    max_images: int = 10
    max_image_bytes: int = 10 * MB
    remote_images: bool = True
    image_types: frozenset[str] = frozenset({"image/jpeg", "image/png", "image/webp"})
    max_tools: int = 128
    function_name: str = "[a-zA-Z0-9_-]{1,64}"
    message_name: str = r"[^\s<|\\/>]{1,64}"
    special_tokens: tuple[str, ...] = _OPENAI_TOKENS
    min_examples: int = 10
    max_file_bytes: int = 512 * MB
    max_example_bytes: int = 160 * MB
    functions: bool = True
    left_out: frozenset[str] = frozenset()
    text_answer_last: bool = False
    text_roles: frozenset[str] = frozenset({"assistant", "tool"})
    response_format: bool = False
    warnings: frozenset[str] = frozenset()
    within_openai: bool = False


UNPROVEN = frozenset({"consecutive_answers", "late_system"})
"""Accepted or refused: no source says."""

OPEN_MODELS = frozenset(
    {
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
"""Not enforced where open models are trained: their templates print any name, read no schema."""

OPENAI = Profile(name="openai", keys=KEYS, warnings=UNPROVEN, within_openai=True)

LOCAL = Profile(
    name="local",
    keys={**KEYS, "assistant": KEYS["assistant"] | {"reasoning_content"}},
    parts=frozenset({"text", "refusal"}),
    max_images=0,
    special_tokens=CHATML_TOKENS,
    max_example_bytes=16 * MB,
    text_roles=frozenset(),
    response_format=True,
    warnings=UNPROVEN | OPEN_MODELS,
    within_openai=True,
)
