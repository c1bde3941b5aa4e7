"""The prompts that a model is asked before it goes dark: from files, runs and stored completions.

Pure: sessions go in, prompts come out. A prompt is the request that the app would send, with its
tools and settings. Prompts are deduplicated by what the model sees, and drawn in proportion to
strata: which tools are offered and called, and how long the request is.
"""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from langchain_core.chat_sessions import ChatSession
from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.content import mapping
from langchain_finetune.convert.fingerprints import exact_key
from langchain_finetune.convert.rows import Outcome, read_each
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import (
    UNKNOWN_FORMAT,
    Skip,
    line_settings,
    require_chat,
    wire_messages,
)

Origin = Literal["traffic", "file"]
"""Where a prompt comes from: a traced run or stored completion, or a line of a training file."""

METADATA = "langchain_finetune_recording"
"""Name of the metadata by which a stored completion of a recording is found."""

_GROUPS = ("thread_id", "trace_id", "example_id")
_NOT_SENT = frozenset({"weight", "reasoning_content"})
"""Fields of messages that a training file may have and a request may not."""

_BYTES_PER_TOKEN = 4
_NAMED = 60
"""Longest description of tools in a stratum; longer ones end in a hash."""


class RecordedPrompt(BaseModel):
    """A request that the model is asked again.

    Attributes:
        id: Hash of what the model sees of it.
        request: Messages, tools and settings as the app sends them, in the form of OpenAI's chat
            API, without the model.
        held_out: It belongs to the part that is never trained on.
        origin: Where it comes from.
        settings_from: Whose settings, such as the temperature, the request has: its own, those
            most used in the traffic, or none (the API's defaults).
        source: Ids of where it comes from, such as `{"run_id": ...}`.
        stratum: The tools that are offered and called, and the length.
        answer_tokens: About how many tokens its earlier answer has, for the estimate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    request: dict[str, Any]
    held_out: bool = False
    origin: Origin
    settings_from: Literal["request", "traffic", "none"] = "none"
    source: dict[str, str] = Field(default_factory=dict)
    stratum: str
    answer_tokens: int

    @property
    def group(self) -> str:
        """The conversation that it belongs to; a conversation is held out as a whole."""
        found = (f"{name}:{self.source[name]}" for name in _GROUPS if self.source.get(name))
        return next(found, self.id)


def make_prompt(session: ChatSession, source: Mapping[str, str]) -> RecordedPrompt:
    """Return the prompt of a chat: its messages before the answer at its end, tools and settings.

    Raises:
        UnreadableChatError: It is not a chat, nothing comes before the answer, or it is not known
            what was sent.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> chat = {"messages": [HumanMessage("Hi"), AIMessage("Hello")]}
        >>> make_prompt(chat, {"run_id": "r-1"}).request
        {'messages': [{'role': 'user', 'content': 'Hi'}]}
    """
    require_chat(session)
    messages = wire_messages(session)
    answer: Mapping[str, Any] = {}
    if messages and messages[-1]["role"] == "assistant":
        *messages, answer = messages
    if not messages:
        raise UnreadableChatError("no_prompt", "The chat has no message before its answer.")
    given: Mapping[str, Any] = session
    request: dict[str, Any] = {
        "messages": sent_messages(messages),
        **line_settings(session),
    }
    if given.get("response_format") == UNKNOWN_FORMAT:
        raise UnreadableChatError(
            "unknown_response_format",
            "The trace has the name of the response format's class, and not its schema.",
        )
    if given.get("response_format"):
        request["response_format"] = given["response_format"]
    sampling = dict(given.get("sampling") or {})
    if not request.get("tools"):
        sampling.pop("tool_choice", None)  # Refused without tools.
    request |= sampling
    origin: Origin = "traffic" if "run_id" in source else "file"
    try:
        seen: list[Any] = [request_key(request).hex()]
        seen += [request.get(name) for name in ("response_format", "tool_choice")]
        key = hashlib.blake2b(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS), digest_size=8)
        size = len(orjson.dumps(request["messages"]))
        said = len(orjson.dumps(answer))
    except TypeError as error:
        raise UnreadableChatError(
            "unreadable_value", "A value that JSON cannot represent."
        ) from error
    return RecordedPrompt(
        id=key.hexdigest(),
        request=request,
        origin=origin,
        settings_from="request" if sampling or origin != "file" else "none",
        source=dict(source),
        stratum=f"{_tools(request, answer)}; {_length(size)}",
        answer_tokens=max(1, said // _BYTES_PER_TOKEN),
    )


def request_key(request: Mapping[str, Any]) -> bytes:
    """Return the key of a request: its messages and tools, whatever format is asked for."""
    return exact_key({name: part for name, part in request.items() if name != "response_format"})


def sent_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of a training line as a request has them."""
    return [
        {name: value for name, value in message.items() if name not in _NOT_SENT}
        for message in messages
    ]


def _tools(request: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Return which tools are offered, and which the earlier answer called."""
    offered = _names([*(request.get("tools") or ()), *(request.get("functions") or ())])
    called = _names([*(answer.get("tool_calls") or ()), answer.get("function_call")])
    if not offered:
        return "no tools"
    text = f"tools {offered}; calls {called or '-'}"
    if len(text) <= _NAMED:
        return text
    return f"{text[:_NAMED]}... ({hashlib.blake2b(text.encode(), digest_size=4).hexdigest()})"


def _names(functions: list[Any]) -> str:
    """Return the names of tools, functions or calls."""
    inner = [mapping(mapping(each).get("function") or each).get("name") for each in functions]
    return ", ".join(sorted({str(name) for name in inner if name}))


def _length(size: int) -> str:
    """Return the length of a request as a power of four.

    >>> _length(100), _length(256), _length(257)
    ('up to 256 B', 'up to 256 B', 'up to 1 kB')
    """
    limit = 256
    while limit < size:
        limit *= 4
    return f"up to {limit} B" if limit < 1024 else f"up to {limit // 1024} kB"  # noqa: PLR2004


def read_prompts(
    sessions: Iterable[ChatSession], skip: Callable[[Skip], None]
) -> Iterator[RecordedPrompt]:
    """Yield the prompt of each session; pass those without one to `skip`.

    Raises:
        ConvertError: An item is not a session.
    """
    outcome = Outcome()

    def made(session: ChatSession) -> RecordedPrompt:
        source = {str(key): str(value) for key, value in (session.get("source") or {}).items()}  # type: ignore[attr-defined]
        return make_prompt(session, source)

    for _, prompt in read_each(sessions, made, outcome):
        yield prompt
        while outcome.rejected:
            skip(outcome.rejected.pop(0))
    for rejected in outcome.rejected:
        skip(rejected)


def select_prompts(
    prompts: Iterable[RecordedPrompt],
    *,
    limit: int = 500,
    held_out: float = 0.2,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    kept: Sequence[RecordedPrompt] = (),
    skip: Callable[[Skip], None] = lambda _: None,
) -> list[RecordedPrompt]:
    """Return at most `limit` different prompts, drawn in proportion to their strata.

    Of equal prompts the first one counts. Which ones are drawn depends on the prompts and the seed
    only, not on their order. A prompt without settings gets those that are most used in the
    traffic with the same system prompt or, without such, in all of it. Memory grows with the limit,
    and the numbers of strata and system prompts, not with the traffic.

    Args:
        prompts: The prompts, those from traffic first.
        limit: Most prompts; each stratum gets at least one, if there are enough.
        held_out: Share of the prompts that is never trained on; conversations stay together.
        seed: Changes which prompts are drawn, and which are held out.
        settings: Settings such as `{"temperature": 0.7}` that replace those of all prompts.
        kept: Prompts of an earlier selection, which count towards the limit and are not returned.
        skip: Is given what is left out.
    """
    groups = {
        part: {each.group for each in kept if each.held_out is part} for part in (True, False)
    }
    known = {prompt.id for prompt in kept}
    room = max(limit - len(known), 0)
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    used: dict[bytes, Counter[bytes]] = defaultdict(Counter)
    best: dict[str, list[tuple[int, str, RecordedPrompt]]] = defaultdict(list)
    for prompt in prompts:
        if prompt.origin != "file":
            sampling = orjson.dumps(_sampling(prompt.request), option=orjson.OPT_SORT_KEYS)
            for part in {_part_of_app(prompt), _WHOLE_APP}:
                used[part][sampling] += 1
        if prompt.id in seen:
            skip(Skip(_named(prompt), "duplicate", f"The model sees the same as in {prompt.id}."))
            continue
        seen.add(prompt.id)
        if prompt.id in known:
            continue
        counts[prompt.stratum] += 1
        # The lowest ranks stay: the heap's first entry has the highest.
        entry = (-_rank(seed, prompt.id), prompt.id, prompt)
        if len(best[prompt.stratum]) < room:
            heapq.heappush(best[prompt.stratum], entry)
        else:
            out = heapq.heappushpop(best[prompt.stratum], entry) if room else entry
            _over(out[2], limit, skip)
    chosen: list[RecordedPrompt] = []
    shares = _shares(counts, room)
    for stratum in sorted(best):
        ranked = [prompt for *_, prompt in sorted(best[stratum], reverse=True)]
        chosen += ranked[: shares[stratum]]
        for prompt in ranked[shares[stratum] :]:
            _over(prompt, limit, skip)
    usual = {part: orjson.loads(each.most_common(1)[0][0]) for part, each in used.items()}
    away = _held_out(chosen, held_out, seed)
    # A conversation stays in the part that it is in.
    away |= {prompt.id for prompt in chosen if prompt.group in groups[True]}
    away -= {prompt.id for prompt in chosen if prompt.group in groups[False]}
    return [_finished(prompt, usual, settings, held_out=prompt.id in away) for prompt in chosen]


def _over(prompt: RecordedPrompt, limit: int, skip: Callable[[Skip], None]) -> None:
    skip(Skip(_named(prompt), "over_limit", f"More than {limit} prompts were found."))


def _named(prompt: RecordedPrompt) -> str:
    names = ("run_id", "example_id", "line")
    return next((prompt.source[name] for name in names if name in prompt.source), prompt.id)


def _rank(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())


def _shares(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """Return how many prompts each stratum gives: in proportion, and one each, if that fits.

    >>> _shares({"a": 90, "b": 9, "c": 1}, 10)
    {'a': 8, 'b': 1, 'c': 1}
    """
    total = sum(counts.values())
    if total <= limit:
        return dict(counts)
    by_size = sorted(counts, key=lambda name: (-counts[name], name))
    shares = {name: int(place < limit) for place, name in enumerate(by_size)}
    # The stratum that is furthest below its proportion is next.
    behind = [
        (shares[name] - counts[name] / total * limit, place)
        for place, name in enumerate(by_size)
        if shares[name] < counts[name]
    ]
    heapq.heapify(behind)
    for _ in range(limit - sum(shares.values())):
        over, place = heapq.heappop(behind)
        name = by_size[place]
        shares[name] += 1
        if shares[name] < counts[name]:
            heapq.heappush(behind, (over + 1, place))
    return shares


def _held_out(prompts: list[RecordedPrompt], share: float, seed: int) -> set[str]:
    """Return the ids of the prompts to hold out: whole conversations, at least one if possible."""
    groups: dict[str, list[str]] = defaultdict(list)
    for prompt in prompts:
        groups[prompt.group].append(prompt.id)
    wanted = round(share * len(prompts)) or int(share > 0 and len(groups) > 1)
    held: set[str] = set()
    for group in sorted(groups, key=lambda name: _rank(seed + 1, name)):
        if len(held) >= wanted:
            break
        held.update(groups[group])
    return held


_ITS_OWN = ("messages", "tools", "functions", "parallel_tool_calls", "response_format")


def _sampling(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that could be those of any other prompt of the app."""
    left = (*_ITS_OWN, "tool_choice")
    return {name: value for name, value in request.items() if name not in left}


_WHOLE_APP = b""


def _part_of_app(prompt: RecordedPrompt) -> bytes:
    """Return what tells the parts of an app apart: the system prompt."""
    first = prompt.request["messages"][0]
    if first["role"] not in {"system", "developer"}:
        return _WHOLE_APP
    return hashlib.blake2b(orjson.dumps(first), digest_size=8).digest()


def _finished(
    prompt: RecordedPrompt,
    usual: Mapping[bytes, dict[str, Any]],
    given: Mapping[str, Any] | None,
    *,
    held_out: bool,
) -> RecordedPrompt:
    """Return a prompt with its settings and its part."""
    request, settings_from = prompt.request, prompt.settings_from
    if settings_from == "none" and usual:
        found = usual.get(_part_of_app(prompt), usual[_WHOLE_APP])
        request, settings_from = {**request, **found}, "traffic"
    if given:
        request, settings_from = {**request, **given}, "request"
    changes = {"request": request, "settings_from": settings_from, "held_out": held_out}
    return prompt.model_copy(update=changes)
