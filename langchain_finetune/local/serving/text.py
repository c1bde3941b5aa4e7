"""The text of an answer as it may be shown while it is still being written."""

from collections.abc import Sequence


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
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take more text and return what can be shown now."""
        if self.stopped:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self._held = self._held[: min(places)]
            self.stopped = True
            return self.end()
        return self._release(len(self._held[: self._begun()].rstrip()))

    def end(self) -> str:
        """Return what was held back and does belong to the answer, now that no text follows."""
        shown = self._release(len(self._held.rstrip()))
        self._held = ""
        return shown

    def _begun(self) -> int:
        """Find where a stop string may have begun; the length of the text where none has."""
        held = self._held
        for place in range(max(0, len(held) - max(map(len, self._stops), default=0)), len(held)):
            if any(stop.startswith(held[place:]) for stop in self._stops):
                return place
        return len(held)

    def _release(self, length: int) -> str:
        shown, self._held = self._held[:length], self._held[length:]
        return shown
