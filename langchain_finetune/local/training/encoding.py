"""From chats to tokens, and which of the tokens are trained.

Only the assistant's turns are learnt, each up to the token that ends it. A turn is cut out by
rendering the chat up to it, once with and once without it: that needs no knowledge of the chat
template. Prompt and turn are put into tokens one by one, since that is how they meet in serving.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from langchain_finetune.local.rendering import (
    RenderingError,
    TemplateInput,
    knows_developer,
    render,
    to_template_input,
)
from langchain_finetune.local.training.events import TrainingFailure

IGNORED = -100
"""The label of a token that is not trained; PyTorch's cross entropy leaves it out."""


@dataclass
class Sequence:
    """Tokens that go through the model together.

    Attributes:
        text: What they say.
        input_ids: The tokens.
        labels: The same where the token is trained, `IGNORED` elsewhere.
    """

    text: str = ""
    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """How many tokens they are."""
        return len(self.input_ids)

    def add(self, text: str, tokens: list[int], trained: int) -> None:
        """Append text and its tokens, of which the first `trained` are trained."""
        self.text += text
        self.input_ids += tokens
        self.labels += tokens[:trained] + [IGNORED] * (len(tokens) - trained)


@dataclass(frozen=True)
class Encoder:
    """Puts examples into tokens.

    Attributes:
        tokenizer: The base model's, with its chat template.
        stop_ids: Tokens on which the model ends its turn.
        max_length: Most tokens that the model takes; None for no limit.
    """

    tokenizer: Any
    stop_ids: frozenset[int]
    max_length: int | None

    def encode(self, examples: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Sequence]:
        """Put all examples of a file into tokens.

        Args:
            examples: Number of the line, from 1, and the supervised example on it.

        Raises:
            TrainingFailure: `example_too_long`, `unsupported_chat_template`,
                `template_without_tools` or `invalid_training_file`, with the line.
        """
        return [sequence for line, example in examples for sequence in self._one(line, example)]

    def _one(self, line: int, example: Mapping[str, Any]) -> list[Sequence]:
        try:
            sequences = self.sequences(example)
        except RenderingError as error:
            raise TrainingFailure(
                "invalid_training_file", f"Line {line}, message {error.index}: {error.message}"
            ) from error
        except TemplateError as error:
            raise TrainingFailure(
                "unsupported_chat_template",
                f"Line {line}: the base model's chat template does not take such a chat.",
            ) from error
        except _TemplateLacksError as error:
            raise TrainingFailure(error.code, f"Line {line}: {error}") from error
        if not sequences:
            raise TrainingFailure(
                "invalid_training_file", f"Line {line} has no answer of the assistant to learn."
            )
        longest = max(len(sequence.input_ids) for sequence in sequences)
        if self.max_length and longest > self.max_length:
            raise TrainingFailure(
                "example_too_long",
                f"Line {line} has {longest} tokens; the base model takes {self.max_length}.",
            )
        return sequences

    def sequences(self, example: Mapping[str, Any]) -> list[Sequence]:
        """Put one supervised example into tokens.

        Most templates give one sequence. Some render an earlier turn otherwise than the last one
        (they drop its reasoning); then a turn that does not continue the text before it starts a
        sequence of its own, with the prompt that it will have in serving.
        """
        chat = to_template_input(
            example, keep_developer=knows_developer(self.tokenizer.chat_template)
        )
        found: list[Sequence] = []
        current = Sequence()
        for index, message in enumerate(chat.messages):
            # A greeting that opens the chat answers nothing, and templates want a message.
            if message["role"] != "assistant" or index == 0:
                continue
            before = TemplateInput(chat.messages[:index], chat.tools)
            through = TemplateInput(chat.messages[: index + 1], chat.tools)
            prompt = render(self.tokenizer, before, add_generation_prompt=True)
            turn = _turn(prompt, render(self.tokenizer, through, add_generation_prompt=False))
            _check_tools(chat, message, prompt, turn)
            if not current.text or not prompt.startswith(current.text):
                current = Sequence()
                found.append(current)
            context = prompt[len(current.text) :]
            current.add(context, self._tokens(context), trained=0)
            tokens = self._tokens(turn)
            weight = example["messages"][index].get("weight")
            current.add(turn, tokens, trained=0 if weight == 0 else self._until_stop(tokens))
        return [sequence for sequence in found if set(sequence.labels) != {IGNORED}]

    def _tokens(self, text: str) -> list[int]:
        # The template has put the special tokens into the text.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _until_stop(self, tokens: list[int]) -> int:
        """Count the tokens up to the one that ends the turn; what follows is the template's."""
        stops = [place for place, token in enumerate(tokens) if token in self.stop_ids]
        return stops[-1] + 1 if stops else len(tokens)


class _TemplateLacksError(Exception):
    """The chat template can't express the chat."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _turn(prompt: str, whole: str) -> str:
    if not whole.startswith(prompt):
        raise _TemplateLacksError(
            "unsupported_chat_template",
            "the base model's chat template opens an answer in one way and shows it in another,"
            " so an answer can't be told from its prompt.",
        )
    return whole[len(prompt) :]


def _check_tools(chat: TemplateInput, message: Mapping[str, Any], prompt: str, turn: str) -> None:
    """Many templates leave tools out without a word; the model would learn to say nothing."""
    offered = [tool["function"]["name"] for tool in chat.tools]
    called = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    if any(name not in prompt for name in offered) or any(name not in turn for name in called):
        raise _TemplateLacksError(
            "template_without_tools",
            "the base model's chat template knows no tools; take a base that does, such as"
            " Qwen/Qwen3-0.6B.",
        )
