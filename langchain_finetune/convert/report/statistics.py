"""Statistics of the examples, counted in one pass and in flat memory."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from langchain_finetune.checks.example import is_target
from langchain_finetune.convert.estimate import tokens_of
from langchain_finetune.convert.report.distribution import DistributionCount
from langchain_finetune.convert.report.outliers import Candidate, OutlierFinder
from langchain_finetune.convert.rows import Example, Row, request_of

_SCRIPTS = {
    "CJK": "Han",
    "CANADIAN": "Canadian Aboriginal",
    "OLD": "historic",
    "YI": "Yi",
    "NKO": "N'Ko",
}
"""Scripts by the first words of letters' Unicode names, if they are not the script's name."""

_ASCII_OTHERS = bytes(code for code in range(128) if not chr(code).isalpha())

_NO_SCRIPT = frozenset({"MODIFIER", "FEMININE", "MASCULINE", "DOUBLE-STRUCK", "SCRIPT", "LATINATE"})


def scripts_of(text: str) -> Counter[str]:
    """Return the number of letters of each script in a text.

    A script is not a language: Latin letters may be English or Vietnamese.

    Example:
        >>> scripts_of("Привет, Ada! 你好")
        Counter({'Cyrillic': 6, 'Latin': 3, 'Han': 2})
    """
    found: Counter[str] = Counter()
    if text.isascii():
        # By far the most frequent case, and many times as fast.
        letters = len(text.encode().translate(None, _ASCII_OTHERS))
        return Counter({"Latin": letters}) if letters else found
    for letter, count in Counter(text).items():
        script = _script(letter)
        if script:
            found[script] += count
    return found


@lru_cache(maxsize=20_000)
def _script(letter: str) -> str | None:
    """Return a letter's script; None for other characters and letters without a script."""
    if not letter.isalpha():
        return None
    # Full-width and mathematical letters belong to their script, too.
    plain = unicodedata.normalize("NFKC", letter)[0]
    first = unicodedata.name(plain, "").split(" ")[0]
    if not first or first in _NO_SCRIPT:
        return None
    return _SCRIPTS.get(first, first.capitalize())


class Facts(NamedTuple):
    """What is counted of one example, other than its tokens.

    Attributes:
        messages: Number of its messages.
        targets: Number of assistant messages that are trained on.
        calls_to_learn: Number of those that call a tool.
        call_ids: The ids of the calls of each of those.
        offered: Names of the tools that it offers, each once.
        called: Names of the tools that it calls, in order.
        scripts: Scripts of its letters; the one of most letters is first.
    """

    messages: int
    targets: int
    calls_to_learn: int
    call_ids: tuple[tuple[Any, ...], ...]
    offered: tuple[str, ...]
    called: tuple[str, ...]
    scripts: tuple[str, ...]


def facts_of(row: Row) -> Facts:
    """Return what is counted of an example; the row keeps it."""
    if row.facts is None:
        example = row.example
        request, answers = messages_of(example)
        messages = [*request, *answers]
        calls = [(message, calls_of(message)) for message in messages]
        targets = [(message, names) for message, names in calls if is_target(message)]
        if "input" in example:
            targets = targets[-1:]  # Of a pair, the preferred answer.
        learnt = (each.get("tool_calls") or () for each, _ in targets)
        ids = (tuple(call.get("id") for call in calls_learnt) for calls_learnt in learnt)
        written = [each for each in messages if each.get("role") in {"user", "assistant"}]
        letters = scripts_of(" ".join(text for message in written for text in texts_of(message)))
        row.facts = Facts(
            messages=len(messages),
            targets=len(targets),
            calls_to_learn=sum(bool(names) for _, names in targets),
            call_ids=tuple(filter(None, ids)),
            offered=tuple(dict.fromkeys(_offered(request_of(example)))),
            called=tuple(name for _, names in calls for name in names),
            scripts=tuple(script for script, _ in letters.most_common()),
        )
    return Facts._make(row.facts)


MAX_NAMES = 1000
"""Most tools that are counted by name."""

MAX_GROUPS = 10_000
"""Most groups of the test part that are counted; no more are ever needed."""

MAX_CALLS = 100_000
"""Most calls that are remembered, to find those that are trained twice."""

OTHER_TOOLS = "(other tools)"

_EXCERPT = 600
"""Characters of a question and of an answer that are shown if text is requested."""


class Tally:
    """Counts rows.

    Args:
        text: Keep the beginnings of the outliers' texts.

    Attributes:
        test_groups: Hashes of the groups in the test part, up to `MAX_GROUPS`.
        counted: Number of examples whose tokens were counted, not estimated.
        target_tokens: Number of counted tokens that are trained on.
        targets: Number of assistant messages that are trained on.
        calls_to_learn: Number of those that call a tool.
        repeated_calls: Number of those that an earlier example of the same trace trains, too.
        offered: Number of examples that offer each tool.
        called: Number of calls of each tool.
        callers: Number of examples that call each tool.
        scripts: Number of examples mostly in each script, in users' and the assistant's messages.
        also: Number of examples with at least one letter of each script.
    """

    def __init__(self, *, text: bool = False) -> None:
        self._text = text
        self._outliers = OutlierFinder()
        self.parts: Counter[str] = Counter()
        self.part_tokens: Counter[str] = Counter()
        self.test_groups: set[int] = set()
        self.counted = 0
        self.target_tokens = 0
        self.tokens = DistributionCount()
        self.messages = DistributionCount()
        self.targets = 0
        self.calls_to_learn = 0
        self.repeated_calls = 0
        self._calls: set[int] = set()
        self.offered: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self.callers: Counter[str] = Counter()
        self.scripts: Counter[str] = Counter()
        self.also: Counter[str] = Counter()

    @property
    def examples(self) -> int:
        """Number of examples."""
        return self.parts.total()

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows unchanged, and count them."""
        for row in rows:
            self.add(row)
            yield row

    def add(self, row: Row) -> None:
        """Count one row."""
        facts, tokens = facts_of(row), tokens_of(row)
        number = self.examples
        self.parts[row.part] += 1
        self.part_tokens[row.part] += tokens
        if row.part == "test" and row.group is not None and len(self.test_groups) < MAX_GROUPS:
            self.test_groups.add(hash(row.group))
        self.counted += row.tokens is not None
        self.target_tokens += row.target_tokens or 0
        self.tokens.add(tokens)
        self.messages.add(facts.messages)
        self.targets += facts.targets
        self.calls_to_learn += facts.calls_to_learn
        if trace_id := row.source.get("trace_id"):
            self._count_repeated(trace_id, facts.call_ids)
        tools = self._count_tools(facts)
        for script in facts.scripts:
            self.also[script] += 1
        mostly = next(iter(facts.scripts), None)
        if mostly is not None:
            self.scripts[mostly] += 1
        self._outliers.add(
            Candidate(
                number=number,
                id=row.id,
                part=row.part,
                tokens=tokens,
                messages=facts.messages,
                tools=tools,
                script=mostly,
                text=_excerpt(*messages_of(row.example)) if self._text else None,
            ),
            max_names=MAX_NAMES,
        )

    def outliers(self) -> list[Any]:
        """Return the outliers so far; see `OutlierFinder`."""
        return self._outliers.outliers(
            self.tokens, self.messages, self.callers, self.scripts, self.examples
        )

    def _count_repeated(self, trace_id: str, call_ids: Iterable[tuple[Any, ...]]) -> None:
        for ids in call_ids:
            key = hash((trace_id, ids))
            self.repeated_calls += key in self._calls
            if len(self._calls) >= MAX_CALLS:
                self._calls.clear()
            self._calls.add(key)

    def _count_tools(self, facts: Facts) -> tuple[str, ...]:
        for name in facts.offered:
            self._count(self.offered, name)
        for name in facts.called:
            self._count(self.called, name)
        callers = tuple(dict.fromkeys(facts.called))
        for name in callers:
            self._count(self.callers, name)
        return callers

    def _count(self, counter: Counter[str], name: str) -> None:
        known = name in counter or len(counter) < MAX_NAMES
        counter[name if known else OTHER_TOOLS] += 1


def messages_of(example: Example) -> tuple[list[Any], list[Any]]:
    """Return the request of an example, and the answer to train on.

    For a preference this is the preferred answer; a prompt becomes a user message, and its
    completion an assistant message.

    Example:
        >>> messages_of({"messages": [{"role": "user"}, {"role": "assistant"}]})
        ([{'role': 'user'}], [{'role': 'assistant'}])
    """
    if "input" in example:
        return list(example["input"].get("messages") or []), list(example["preferred_output"])
    if "prompt" in example:
        sides = (("user", example["prompt"]), ("assistant", example["completion"]))
        request, answer = ({"role": role, "content": text} for role, text in sides)
        return [request], [answer]
    messages = list(example.get("messages") or [])
    return messages[:-1], messages[-1:]


def calls_of(message: Mapping[str, Any]) -> list[str]:
    """Return the names of the tools that a message calls, in order."""
    calls = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    if message.get("function_call"):
        calls.append(message["function_call"])
    return [str(call.get("name")) for call in calls]


def texts_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a message."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part.get("text"), str):
            yield part["text"]


def _offered(request: Mapping[str, Any]) -> Iterator[str]:
    for tool in request.get("tools") or ():
        yield str((tool.get("function") or {}).get("name"))
    for function in request.get("functions") or ():
        yield str(function.get("name"))


def _excerpt(request: Sequence[Any], answers: Sequence[Any]) -> str:
    question: Any = next((message for message in request if message.get("role") == "user"), {})
    parts = []
    for name, message in (("question", question), ("answer", answers[-1] if answers else {})):
        text = " ".join(texts_of(message)) or ", ".join(
            f"calls {tool}" for tool in calls_of(message)
        )
        parts.append(f"{name}: {text[:_EXCERPT]}{'...' if len(text) > _EXCERPT else ''}")
    return "\n".join(parts)
