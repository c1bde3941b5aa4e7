"""The text of an answer as it may be shown while it is still being written."""

from collections import deque
from collections.abc import Sequence

from langchain_finetune.local.serving.pieces import Text, Token


class TextFilter:
    """Holds back what may turn out not to belong to the answer.

    That is a stop string that has begun, and white space: before a tool call and at the end it
    comes from the chat template.

    Args:
        stops: Strings that end the answer; they are no part of it.

    Attributes:
        stopped: A stop string was met; nothing more will come.
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
        """Return what was held back and does belong to the answer, now that no text follows."""
        shown = self._release(len(self._held.rstrip()))
        self._held = ""
        self._tokens.clear()
        return shown

    def _begun(self) -> int:
        """Find where a stop string may have begun; the length of the text where none has."""
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
