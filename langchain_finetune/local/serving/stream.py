"""From drawn tokens to the pieces of an answer; importing this imports torch and transformers."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers.decoders import DecodeStream
from transformers.cli.serving.utils import (
    ReasoningText,
    ToolCall,
    response_events_to_chunks,
)
from transformers.utils.chat_parsing import ResponseParser

from langchain_finetune.local.serving.answer import CompleteCall, Piece, ReasoningDelta, Text, Token
from langchain_finetune.local.serving.loading import LoadedModel
from langchain_finetune.local.serving.structured.constraint import ScoreRecorder
from langchain_finetune.local.templates.answer_form import AnswerForm

# OpenAI's API gives this for what is all but impossible; JSON has no infinity.
_MIN_LOGPROB = -9999.0


class LenientParser(ResponseParser):  # type: ignore[misc]  # transformers is not typed
    """A response parser that reads calls in the form of a template, and malformed ones as text.

    The parser's inner methods are overridden; `tests/local/test_serving_models.py` has a canary.
    transformers' own raises ValueError, after which the whole answer is lost: also its text, and
    also for a model that was cut off by its token limit in the middle of a call. Special tokens,
    given as texts, are left out of what is shown.
    """

    def __init__(
        self, form: AnswerForm, *, prefix: str, tools: list[dict[str, Any]], special: Sequence[str]
    ) -> None:
        self._reader = form.reader
        self._special = special
        self._region_start = 0
        super().__init__(form.response_template(), prefix, tools=tools)

    def _open_explicit(self, events: list[dict[str, Any]], field: Any, m: Any) -> None:
        self._region_start = m.start()
        super()._open_explicit(events, field, m)

    def _close_current(self, events: list[dict[str, Any]]) -> None:
        if self._current != "tool_calls":
            super()._close_current(events)
            return
        written = self._buffer[self._region_start : self._pos]
        self._reset_to_implicit()
        calls = self._reader.read(written) if self._reader else None
        if calls is None or not all(isinstance(arguments, dict) for _, arguments in calls):
            for token in self._special:
                written = written.replace(token, "")
            events.append(
                {"type": "region_chunk", "field": "content", "text": written, "dirty": False}
            )
            return
        for name, arguments in calls:
            # Values that are written like texts become what the tool's schema says.
            value = self._coerce_tool_calls({"function": {"name": name, "arguments": arguments}})
            events.append({"type": "region_close", "field": "tool_calls", "value": value})


class TokenStream:
    """Takes tokens on the thread of the models, and hands pieces over to the event loop.

    `queue` gets pieces, and in the end the exception that broke the answer off, or None. Without
    a parser, which finds calls and reasoning, all is text. With a recorder of log-probabilities,
    text comes with its tokens, and each of these with `top` alternatives. In the end, the event
    loop calls `then`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        parser: LenientParser | None,
        recorder: ScoreRecorder | None,
        top: int,
        then: Callable[[], None],
    ) -> None:
        self.queue: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
        self.tokens: list[int] = []
        self._loop = asyncio.get_running_loop()
        self._loaded = loaded
        self._parser = parser
        self._recorder = recorder
        self._top = top
        self._then = then
        # Only the parser needs to see special tokens.
        self._decoder = DecodeStream([], skip_special_tokens=parser is None)
        self._unshown: list[Token] = []
        self._cancelled = threading.Event()
        if parser is not None:
            self._send(parser.initial_events)

    @property
    def cancelled(self) -> bool:
        """Whether the rest of the answer is not wanted."""
        return self._cancelled.is_set()

    def put(self, token: int) -> None:
        """Take a token."""
        self.tokens.append(token)
        if self._recorder and token not in self._loaded.ends:
            self._unshown.append(self._with_logprob(token, self._recorder))
        text = self._decoder.step(self._loaded.tokenizer._tokenizer, token)  # noqa: SLF001
        if text is None:
            return
        if self._parser is None:
            self._hand_over(self._text(text))
        else:
            self._send(self._parser.feed(text))

    def end(self) -> None:
        """Take note that no token follows."""
        if self._parser is not None:
            _, events = self._parser.finalize()
            self._send(events)

    def close(self, error: BaseException | None) -> None:
        """Take note that the answer is over, with what broke it off."""
        self._hand_over(error)
        self._call(self._then)

    def cancel(self) -> None:
        """Have it end with the next token."""
        self._cancelled.set()

    def _send(self, events: list[dict[str, Any]]) -> None:
        for item in response_events_to_chunks(events):
            if isinstance(item, ToolCall):
                self._unshown.clear()
                self._hand_over(CompleteCall(item.name, item.arguments))
            elif isinstance(item, ReasoningText):
                self._unshown.clear()
                self._hand_over(ReasoningDelta(str(item)))
            else:
                self._hand_over(self._text(item))

    def _text(self, text: str) -> Text:
        tokens, self._unshown = tuple(self._unshown), []
        return Text(text, tokens)

    def _hand_over(self, item: Piece | BaseException | None) -> None:
        self._call(lambda: self.queue.put_nowait(item))

    def _call(self, work: Callable[[], None]) -> None:
        # The server may have stopped meanwhile.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)

    def _with_logprob(self, token: int, recorder: ScoreRecorder) -> Token:
        logprob, likeliest = recorder.logprobs(token, self._top)
        top = tuple(self._token(other, likely) for other, likely in likeliest)
        return self._token(token, logprob, top)

    def _token(self, token: int, logprob: float, top: tuple[Token, ...] = ()) -> Token:
        data = self._loaded.vocabulary.decode_bytes([token])
        return Token(data, max(logprob, _MIN_LOGPROB), top)


class TextFilter:
    """Holds back what may turn out not to belong to the answer.

    That is a stop string that has begun, and white space: before a tool call and at the end it
    comes from the chat template. Once `stopped`, by a whole stop string, nothing more will come.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self._tokens: deque[tuple[int, Token]] = deque()
        self._came = 0
        self.stopped = False

    def feed(self, piece: Text) -> Text:
        """Take more text and return what can be shown now, with the tokens that it begins."""
        if self.stopped:
            return Text("")
        self._tokens.extend((self._came, token) for token in piece.tokens)
        self._came += len(piece.text)
        self._held += piece.text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self._came -= len(self._held) - min(places)
            self._held = self._held[: min(places)]
            self.stopped = True
            return self.end()
        return self._release(len(self._held[: self._begun()].rstrip()))

    def end(self) -> Text:
        """Return the withheld text, which belongs to the answer since no text follows."""
        shown = self._release(len(self._held.rstrip()))
        self._held = ""
        self._tokens.clear()
        return shown

    def _begun(self) -> int:
        """Return the position where a stop string may begin, or the length of the text."""
        held = self._held
        for place in range(max(0, len(held) - max(map(len, self._stops), default=0)), len(held)):
            if any(stop.startswith(held[place:]) for stop in self._stops):
                return place
        return len(held)

    def _release(self, length: int) -> Text:
        until = self._came - len(self._held) + length
        shown, self._held = self._held[:length], self._held[length:]
        tokens = []
        while self._tokens and self._tokens[0][0] < until:
            tokens.append(self._tokens.popleft()[1])
        return Text(shown, tuple(tokens))
