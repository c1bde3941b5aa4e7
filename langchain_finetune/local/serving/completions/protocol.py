"""A request of the older Completions API: text that a model continues."""

from functools import cached_property
from typing import Annotated, Any

from pydantic import Field

from langchain_finetune.local.serving.protocol import (
    MAX_CHOICES,
    MaxTokens,
    NonEmpty,
    Number,
    SampledRequest,
    invalid,
    one_fault,
    only,
)

PromptText = NonEmpty | Annotated[list[int], Field(min_length=1)]


class CompletionRequest(SampledRequest):
    """A completion request; without a limit, answers have 16 tokens (OpenAI's API reference)."""

    best_of: Number | None = None
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    max_tokens: MaxTokens = 16
    prompt: Annotated[
        PromptText | Annotated[list[PromptText], Field(min_length=1)],
        one_fault("must be text, tokens, or a list of these"),
    ]
    suffix: Annotated[Any, only("")] = None
    user: Any = None

    @cached_property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each a text or its tokens; every one has `n` answers."""
        prompt: Any = self.prompt
        is_one = isinstance(prompt, str) or isinstance(prompt[0], int)
        return [prompt] if is_one else prompt

    def check(self) -> None:
        """Refuse fields that contradict each other."""
        if len(self.prompts) * self.n > MAX_CHOICES:
            raise invalid("prompt", f"and 'n' ask for more than {MAX_CHOICES} answers")
        if self.best_of not in {None, self.n}:
            raise invalid("best_of", "must equal 'n' here")
        if self.echo and self.logprobs is not None:
            raise invalid("echo", "can't be combined with 'logprobs' here")
