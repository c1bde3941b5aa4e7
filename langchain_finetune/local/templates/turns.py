"""Cuts an answer out of a rendered chat.

Most templates open an answer in the prompt just as they show it in a chat. Those of models that
think may open a thought in the prompt (`<think>`) which a chat without thoughts does not show: such
an answer begins by closing it, as these models do.
"""

import re
from collections.abc import Sequence

_PARTIAL = re.compile(r"[<\[][^<>\[\]\s]*$")
_OPEN = re.compile(r"<([\w:|]*)think([\w:]*)>|\[THINK\]|<\|START_THINKING\|>|<\|channel>thought\n?")


def answer_turn(prompt: str, whole: str, anchors: Sequence[str] = ()) -> str | None:
    """Return the text of an answer after its prompt; None if the two do not meet.

    Where a template writes the chat before the answer in another way once it is answered, `anchors`
    tell what prompts end with.

    Example:
        >>> answer_turn("[bot]<think>", "[bot]Yes.<end>")
        '</think>Yes.<end>'
        >>> answer_turn("[bot]<think></think>", "[bot]Yes.<end>")
        'Yes.<end>'
        >>> answer_turn("Rules. Question?[bot]", "Question?[bot]Yes.<end>", ["[bot]"])
        'Yes.<end>'
    """
    met = _met(prompt, whole)
    if met is not None:
        return met
    for anchor in anchors:
        before, found, tail = prompt.rpartition(anchor)
        parts = whole.split(anchor, before.count(anchor) + 1)
        if found and len(parts) == before.count(anchor) + 2:
            return _met(anchor + tail, anchor + parts[-1])
    shared = shared_start(prompt, whole)
    if prompt[len(shared) :] in anchors:
        # The template opens the answer to a tool's result once more, but only in the prompt.
        return whole[len(shared) :]
    return None


def _met(prompt: str, whole: str) -> str | None:
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    shared = shared_start(prompt, whole)
    surplus, rest = prompt[len(shared) :], whole[len(shared) :]
    if not surplus.strip():
        # White space after the mark of a thought.
        return rest
    opened = list(_OPEN.finditer(surplus))
    if not opened:
        return None
    close = closing_mark(opened[-1].group())
    before, closed, after = surplus[opened[-1].start() :].partition(close)
    if surplus[: opened[0].start()].strip() or after.strip():
        return None
    if closed:
        return rest.removeprefix(close) if rest.startswith(close) else rest
    if rest.lstrip().startswith(close):
        return rest
    glue = "\n" if before.endswith("\n") else ""
    return f"{glue}{close}{glue * 2}{rest.lstrip() if glue else rest}"


def common_start(one: str, other: str) -> str:
    """Return how two texts begin alike.

    Example:
        >>> common_start("abc", "abd")
        'ab'
    """
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if other.startswith(one[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return one[:low]


def shared_start(one: str, other: str) -> str:
    """Return how two texts begin alike, without a part of a mark at the end.

    Example:
        >>> shared_start("[bot]<think>", "[bot]<tool>")
        '[bot]'
    """
    return _PARTIAL.sub("", common_start(one, other))


def closing_mark(opening: str) -> str:
    """Return the mark that closes a thought.

    Example:
        >>> [closing_mark(each) for each in ("<think>", "[THINK]", "<|START_THINKING|>")]
        ['</think>', '[/THINK]', '<|END_THINKING|>']
    """
    if opening.startswith("<|channel>"):
        return "<channel|>"
    if "START" in opening:
        return opening.replace("START", "END")
    return f"{opening[0]}/{opening[1:]}"
