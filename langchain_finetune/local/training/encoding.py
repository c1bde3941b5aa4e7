"""From chats to tokens, and which of the tokens are trained.

Only the assistant's turns are trained, each up to the token that ends it. A turn is cut out by
rendering the chat up to it, once with and once without it: that needs no knowledge of the chat
template. Prompt and turn are put into tokens one by one, since that is how they meet in serving.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from langchain_finetune.local.chat_template import (
    RenderingError,
    TemplateInput,
    render,
    supports_developer,
    to_template_input,
    with_format,
)
from langchain_finetune.local.control_tokens import control_tokens, place_of_token
from langchain_finetune.local.template_process import (
    STOPPED,
    RejectedChatError,
    TemplateStoppedError,
)
from langchain_finetune.local.templates.answer_form import AnswerForm, find_answer_form
from langchain_finetune.local.templates.answers_at_once import AnswerFinder, probes
from langchain_finetune.local.templates.prepare import prepare
from langchain_finetune.local.templates.template_probe import question
from langchain_finetune.local.templates.turns import answer_turn
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.sequences import IGNORED, Encoded, Sequence
from langchain_finetune.local.training.text_tokens import TextTokens


class UnfitExampleError(ValueError):
    """An example that the base model can't be trained on.

    The code is `unsupported_content`, `unsupported_chat_template`, `template_without_tools`,
    `text_beside_call`, `no_answer`, `special_token` or `too_long`. The message never quotes
    training text. The index of the message at fault counts from 0; None is for the whole example.
    """

    def __init__(self, code: str, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.index = index


_JOB_CODES = {
    "too_long": "example_too_long",
    "unsupported_content": "invalid_training_file",
    "no_answer": "invalid_training_file",
    "special_token": "invalid_training_file",
}
"""How a failed job names a reason, where it has a name of its own for it."""

Layout = list[list[tuple[str, bool | None]]]
"""The texts of an example's sequences, in order, each with its kind: an answer that is trained
(True) or not (False), or text around the answers (None)."""

Enough = Callable[[Layout], bool]


@dataclass(frozen=True)
class Encoder:
    """Puts examples into tokens.

    On `stop_ids`, and on the tokens that the template itself puts behind answers, the model ends
    its turn; `max_length` is None if it takes any number of tokens.
    """

    tokenizer: Any
    stop_ids: frozenset[int]
    max_length: int | None

    @cached_property
    def form(self) -> AnswerForm:
        """How the template writes answers."""
        return find_answer_form(self.tokenizer, self.tokenizer.batch_decode(sorted(self.stop_ids)))

    @classmethod
    def of(cls, tokenizer: Any, config: Any, generation_config: Any) -> "Encoder":
        """Return the encoder of a base model, from its own tokenizer and configurations.

        Raises:
            UnfitExampleError: `unsupported_chat_template`: the model has no chat template.
        """
        if not tokenizer.chat_template:
            raise UnfitExampleError(
                "unsupported_chat_template",
                "The base model has no chat template: take one that was trained on chats, such as"
                " one whose name ends in 'Instruct'.",
            )
        try:
            prepare(tokenizer)
        except TemplateStoppedError as error:
            raise UnfitExampleError("unsupported_chat_template", STOPPED) from error
        ends = generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        limits = (
            getattr(config.get_text_config(), "max_position_embeddings", None),
            tokenizer.model_max_length,
        )
        return cls(
            tokenizer,
            stop_ids=frozenset({*ends, tokenizer.eos_token_id} - {None}),
            max_length=min(limit for limit in limits if limit),
        )

    def encode(self, examples: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Encoded]:
        """Put all supervised examples of a file, with their lines' numbers, into tokens.

        Raises:
            TrainingFailure: See `encode_line`.
        """
        return [
            Encoded(each.length, {"input_ids": each.input_ids, "labels": each.labels})
            for line, example in examples
            for each in self.encode_line(line, example)
        ]

    def encode_line(self, line: int, example: Mapping[str, Any]) -> list[Sequence]:
        """Put a supervised example into tokens.

        Raises:
            TrainingFailure: `example_too_long`, `unsupported_chat_template`,
                `template_without_tools` or `invalid_training_file`, with the line.
        """
        try:
            sequences = self.sequences(example)
            self._check(sequences)
        except UnfitExampleError as error:
            place = "" if error.index is None else f", message {error.index}"
            raise TrainingFailure(
                _JOB_CODES.get(error.code, error.code),
                f"Line {line}{place}: {error.message} (rule {error.code})",
            ) from error
        return sequences

    def _check(self, sequences: list[Sequence]) -> None:
        if not sequences:
            raise UnfitExampleError("no_answer", "It has no answer of the assistant to train on.")
        longest = max(sequence.length for sequence in sequences)
        if self.max_length and longest > self.max_length:
            raise UnfitExampleError(
                "too_long", f"It has {longest} tokens; the base model takes {self.max_length}."
            )

    def sequences(self, example: Mapping[str, Any]) -> list[Sequence]:
        """Put one supervised example into tokens.

        Raises:
            UnfitExampleError: The chat template can't express it.
        """
        return self.tokenized([self.layout(example)])[0]

    def layout(
        self,
        example: Mapping[str, Any],
        *,
        last_only: bool = False,
        enough: Enough | None = None,
    ) -> Layout:
        """Render one supervised example.

        Most templates give one sequence. Some render an earlier turn differently from the last one
        (they drop its reasoning); then a turn that does not continue the text before it starts a
        sequence of its own, with the prompt that it will have in serving.

        Where the template does not only append, all that comes before an answer is rendered for it,
        so the work grows with the square of the answers. Two options end it sooner: `last_only`
        renders only up to the last answer that is trained, and `enough`, called after each answer
        with the layout so far, stops it when true.

        Raises:
            UnfitExampleError: The chat template can't express it.
        """
        # Of the extra `local`: clients without it import this module for the plan of a job.
        from jinja2 import TemplateError  # noqa: PLC0415

        try:
            chat = to_template_input(
                example, keep_developer=supports_developer(self.tokenizer.chat_template)
            )
            chat = with_format(chat, example.get("response_format"))
            added = len(chat.messages) - len(example["messages"])
            self._check_text(chat, added)
            weights = [None] * added + [message.get("weight") for message in example["messages"]]
            # A greeting that opens the chat answers nothing, and templates want a message.
            turns = enumerate(chat.messages)
            answers = [n for n, each in turns if n > added and each["role"] == "assistant"]
            if last_only:
                answers = [n for n in answers if weights[n] != 0][-1:]
            layout = self._at_once(self._answers, chat, weights, answers, enough)
            if layout is None:
                layout = self._one_by_one(chat, weights, answers, enough)
        except RenderingError as error:
            raise UnfitExampleError("unsupported_content", error.message, error.index) from error
        except TemplateStoppedError as error:
            raise UnfitExampleError("unsupported_chat_template", STOPPED) from error
        except (TemplateError, RejectedChatError) as error:
            raise UnfitExampleError(
                "unsupported_chat_template",
                "The base model's chat template does not accept such a chat.",
            ) from error
        return layout

    def _one_by_one(
        self, chat: TemplateInput, weights: Seq[Any], answers: Seq[int], enough: Enough | None
    ) -> Layout:
        """Render each answer with what comes before it."""
        found: Layout = []
        rendered = ""
        for index in answers:
            before = TemplateInput(chat.messages[:index], chat.tools)
            through = TemplateInput(chat.messages[: index + 1], chat.tools)
            prompt = render(self.tokenizer, before, add_generation_prompt=True)
            whole = render(self.tokenizer, through, add_generation_prompt=False)
            turn = self._turn(prompt, whole, chat.messages[index])
            _check_tools(chat, chat.messages[index], prompt, turn)
            if not rendered or not prompt.startswith(rendered):
                rendered = ""
                found.append([])
            found[-1] += [(prompt[len(rendered) :], None), (turn, weights[index] != 0)]
            rendered = prompt + turn
            if enough and enough(found):
                break
        return found

    def _at_once(
        self,
        finder: AnswerFinder | None,
        chat: TemplateInput,
        weights: Seq[Any],
        answers: Seq[int],
        enough: Enough | None,
    ) -> Layout | None:
        """Render the chat once and find the answers in it; None if that is not certain."""
        if finder is None or not answers:
            return None
        messages = chat.messages[: answers[-1] + 1]
        text = self._rendered(messages, chat.tools)
        places = finder.places(text, messages, answers)
        if not places:
            return None
        # What the first prompt shows of the tools, all later ones show.
        prompt, end = text[: places[0][0]], 0
        found: Layout = [[]]
        for index, (start, stop) in zip(answers, places, strict=True):
            turn = text[start:stop]
            _check_tools(chat, chat.messages[index], prompt, turn)
            found[0] += [(text[end:start], None), (turn, weights[index] != 0)]
            end = stop
            if enough and enough(found):
                break
        return found

    def _rendered(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], *, asks: bool = False
    ) -> str:
        """Return a rendered chat; nothing if the template rejects it."""
        from jinja2 import TemplateError  # noqa: PLC0415 - see `layout`

        try:
            given = TemplateInput(messages, tools)
            return render(self.tokenizer, given, add_generation_prompt=asks)
        except (RenderingError, TemplateError, RejectedChatError):
            return ""

    @cached_property
    def _answers(self) -> AnswerFinder | None:
        """Finds the answers in a chat that was rendered once; None if the template is no such."""
        from jinja2 import TemplateError  # noqa: PLC0415 - see `layout`

        asked = [question()]
        text, prompt = self._rendered(asked, []), self._rendered(asked, [], asks=True)
        if not text or not prompt.startswith(text):
            return None
        finder = AnswerFinder.of(
            self.tokenizer.chat_template, prompt[len(text) :], self.form, self._control_tokens
        )
        for chat in map(TemplateInput, *zip(*probes(), strict=True)) if finder else ():
            answers = [
                n for n, each in enumerate(chat.messages) if n and each["role"] == "assistant"
            ]
            given = chat, [None] * len(chat.messages), answers, None
            ways = partial(self._at_once, finder), self._one_by_one
            made: list[Layout | None] = []
            for way in ways:
                try:
                    made.append(way(*given))
                except (RenderingError, RejectedChatError, UnfitExampleError, TemplateError):
                    made.append(None)
            if made[0] != made[1]:
                return None
        return finder

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        return control_tokens(self.tokenizer)

    def _check_text(self, chat: TemplateInput, added: int) -> None:
        """Refuse text that would become control tokens, and so end a turn or begin another one."""
        if found := place_of_token(chat, self._control_tokens):
            token, index = found
            # With a message put before it, the first one shows the response format.
            place = None if index is None or index < added else index - added
            raise UnfitExampleError(
                "special_token", f"Text contains the base model's control token {token}.", place
            )

    def tokenized(self, layouts: list[Layout]) -> list[list[Sequence]]:
        """Put rendered examples into tokens, all at once: that is faster than one by one.

        Sequences in which nothing is trained are left out.
        """
        texts = [text for layout in layouts for parts in layout for text, _ in parts]
        tokens = iter(self._tokens.of_texts(texts))
        found = []
        for layout in layouts:
            sequences = [self._sequence(parts, tokens) for parts in layout]
            found.append([each for each in sequences if each.trained])
        return found

    def _turn(self, prompt: str, whole: str, message: Mapping[str, Any]) -> str:
        """Return an answer up to the token that ends it; what follows is the template's."""
        turn = answer_turn(prompt, whole, self.form.anchors)
        if turn is None:
            raise UnfitExampleError(
                "unsupported_chat_template",
                "The base model's chat template opens an answer in one way and shows it in another,"
                " so an answer can't be separated from its prompt.",
            )
        ended = self.form.until_end(turn, message)
        if ended is None:
            raise UnfitExampleError(
                "unsupported_chat_template",
                "The base model's chat template ends an answer between its text and its calls.",
            )
        return ended

    def _sequence(
        self, parts: list[tuple[str, bool | None]], tokens: Iterator[list[int]]
    ) -> Sequence:
        sequence = Sequence()
        for (text, trained), ids in zip(parts, tokens, strict=False):
            sequence.text += text
            sequence.input_ids += ids
            sequence.labels += ids if trained else [IGNORED] * len(ids)
        return sequence

    @cached_property
    def _tokens(self) -> TextTokens:
        return TextTokens.of(self.tokenizer, self._control_tokens)


def _check_tools(chat: TemplateInput, message: Mapping[str, Any], prompt: str, turn: str) -> None:
    """Templates may drop parts of a chat silently; the model would learn to answer without them."""
    offered = [tool["function"]["name"] for tool in chat.tools]
    called = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    if any(name not in prompt for name in offered) or any(name not in turn for name in called):
        raise UnfitExampleError(
            "template_without_tools",
            "The base model's chat template has no tools; take a base whose template has, such as"
            " Qwen/Qwen3-0.6B.",
        )
    text = message["content"].strip()
    if called and text and text not in turn:
        raise UnfitExampleError(
            "text_beside_call",
            "The base model's chat template leaves out the text beside a call, so it can't be"
            " trained on: remove it from the example, or take another base.",
        )
