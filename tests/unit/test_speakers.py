"""Speakers: the same messages as langchain-community's helpers give, lazily and in a pipe."""

from copy import deepcopy
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.chat_loaders import BaseChatLoader
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_finetune import (
    Convert,
    LoadError,
    MapSpeaker,
    RunFileChatLoader,
    Sessions,
    Skip,
    map_ai_messages,
    merge_chat_runs,
)
from langchain_finetune.errors import InvalidArgumentError
from support.community import community


def said(sender, content, kind=HumanMessage, **extra):
    sender = {} if sender is None else {"sender": sender}
    return kind(content, additional_kwargs={**sender, **extra})


CHAT = [
    said("Bob", "Ada?", events=[{"message_time": 1}]),
    said("Bob", "Are you there?", events=[{"message_time": 2}]),
    said("Ada", "Here", events=[{"message_time": 3}]),
    said("Ada", ["I ", {"type": "bold", "text": "am"}, " here"]),
    said("Bob", "Good"),
]
LINE = {
    "messages": [
        {"role": "user", "content": "Ada?\n\nAre you there?"},
        {"role": "assistant", "content": "Here\n\nI am here"},
    ]
}


def plain(sessions):
    """Type, content and sender of each message, whoever made it."""
    return [
        [(message.type, message.content, message.additional_kwargs) for message in chat["messages"]]
        for chat in sessions
    ]


texts = st.sampled_from(["", " ", "Hi", "How are you?\n", " there"])
contents = texts | st.lists(texts | texts.map(lambda text: {"type": "bold", "text": text}))
extras = st.fixed_dictionaries(
    {}, optional={"sender": st.sampled_from("AB"), "events": st.lists(st.integers(), max_size=2)}
)
kinds = st.sampled_from([HumanMessage, AIMessage, SystemMessage])
messages = st.builds(
    lambda kind, content, extra: kind(content, additional_kwargs=extra), kinds, contents, extras
)
chats = st.lists(st.fixed_dictionaries({"messages": st.lists(messages, max_size=8)}), max_size=3)


@settings(deadline=None)
@given(chats)
def test_they_do_what_langchain_community_does(sessions):
    utils = community("chat_loaders.utils")
    before = deepcopy(sessions)
    ours = merge_chat_runs(sessions)
    assert plain(ours) == plain(utils.merge_chat_runs(deepcopy(sessions)))
    expected = utils.map_ai_messages(utils.merge_chat_runs(deepcopy(sessions)), sender="A")
    assert plain(map_ai_messages(ours, sender="A")) == plain(expected)
    speakers = {
        message.additional_kwargs.get("sender")
        for session in sessions
        for message in session["messages"]
    }
    if "A" in speakers:
        assert plain(MapSpeaker("A").invoke(sessions)) == plain(map_ai_messages(ours, "A"))
    assert sessions == before


def test_an_own_delimiter_joins():
    [chat] = merge_chat_runs([{"messages": CHAT[:2]}], delimiter=" ")
    assert chat["messages"][0].content == "Ada? Are you there?"


def test_pictures_stay():
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    chat = [said("Bob", "Look"), said("Bob", [picture])]
    [merged] = merge_chat_runs([{"messages": chat}])
    assert merged["messages"] == chat


def test_what_else_a_session_holds_stays():
    session = {"messages": CHAT, "functions": [{"name": "f"}], "source": {"line": "a:1"}}
    [mapped] = MapSpeaker("Ada").invoke([session])
    assert {key: mapped[key] for key in ("functions", "source")} == {
        key: session[key] for key in ("functions", "source")
    }


class Chats(BaseChatLoader):
    """A chat loader like those of langchain-community, that counts its readings."""

    reads = 0

    def lazy_load(self):
        self.reads += 1
        yield {"messages": CHAT}


def test_it_stands_in_a_pipe_reads_late_and_again():
    loader = Chats()
    examples = (loader | MapSpeaker("Ada") | Convert()).invoke({})
    assert loader.reads == 0
    assert list(examples) == list(examples) == [LINE]
    assert loader.reads == 2
    assert list(Convert().invoke(MapSpeaker("Ada").invoke(loader))) == [LINE]


async def test_sync_and_async_give_the_same():
    chain = Chats() | MapSpeaker("Ada") | Convert()
    assert list(await chain.ainvoke({})) == list(chain.invoke({})) == [LINE]


def test_nobody_of_that_name_is_told_with_who_speaks():
    examples = (Chats() | MapSpeaker("Eve") | Convert()).invoke({})
    with pytest.raises(LoadError, match="Nobody called 'Eve' speaks; there are 'Bob', 'Ada'"):
        list(examples)


def test_what_was_left_out_before_is_still_told(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text('{"run_type": "chain"}\n{"torn\n{"messages": 7}\n7\n')
    examples = (RunFileChatLoader(path) | MapSpeaker("Ada") | Convert()).invoke({})
    for _ in range(2):
        assert list(examples) == []
        assert examples.rejected_by_reason() == {"broken_line": 2, "malformed": 1}
        assert examples.notes == {"not_an_llm_run": 1}


def test_what_was_left_out_before_an_error_is_told_too():
    def read(skip):
        skip(Skip("a", "b", "c"))
        yield {"messages": CHAT}
        skip(Skip("d", "e", "f"))
        raise OSError

    sessions = merge_chat_runs(Sessions(read))
    with pytest.raises(OSError):
        list(sessions)
    assert [skip.id for skip in sessions.skipped] == ["a", "d"]


EXPORTS = {
    "US": "1/31/26, 9:00:00 PM|1/31/26, 9:10:00 PM|2/1/26, 8:00:00 AM|2/1/26, 8:01:00 AM",
    "Europe": "31.01.26, 21:00|31.01.26, 21:10|01.02.26, 08:00|01.02.26, 08:01",
    # Both orders are possible; one of them has a month between the days.
    "either": "03/02/2026, 21:00|03/02/2026, 21:10|04/02/2026, 08:00|04/02/2026, 08:01",
    "ISO": "2026-01-31T21:00:00|2026-01-31T21:10:00|2026-02-01T08:00:00|2026-02-01T08:01:00",
    "seconds": "1769893200.1|1769893800.5|1769932800|1769932860.000200",
}


def timed(times):
    speakers = ["Bob", "Ada"] * 2
    return [
        said(speaker, f"{speaker} {number}", events=[{"message_time": time}])
        for number, (speaker, time) in enumerate(zip(speakers, times.split("|"), strict=True))
    ]


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize(
    ("cut", "lengths"),
    [
        ("day", [2, 2]),
        (timedelta(hours=8), [2, 2]),
        (timedelta(hours=12), [4]),
        (timedelta(minutes=10), [1, 1, 2]),
    ],
)
def test_a_long_chat_is_cut_at_pauses_or_days(name, cut, lengths):
    chat = {"messages": timed(EXPORTS[name])}
    sessions = MapSpeaker("Ada", cut=cut).invoke([chat])
    assert [len(session["messages"]) for session in sessions] == lengths
    assert len(chat["messages"]) == 4


def test_one_export_of_whatsapp_gives_many_examples(tmp_path):
    path = tmp_path / "chat.txt"
    days = [
        f"[{day:02}/03/2026, {hour}:00:00] {speaker}: {speaker} on day {day}"
        for day in range(1, 21)
        for hour, speaker in ((9, "Bob"), (10, "Ada"))
    ]
    path.write_text("\n".join(days))
    loader = community("chat_loaders.whatsapp").WhatsAppChatLoader(str(path))
    assert len(list((loader | MapSpeaker("Ada") | Convert()).invoke({}))) == 1
    lines = list((loader | MapSpeaker("Ada", cut="day") | Convert()).invoke({}))
    assert len(lines) == 20
    assert [message["content"] for message in lines[6]["messages"]] == [
        "Bob on day 7",
        "Ada on day 7",
    ]


def test_chats_without_times_cannot_be_cut():
    untimed = [{"messages": [said("Ada", "Hi"), said("Bob", "Hi", events=[{"message_time": "?"}])]}]
    with pytest.raises(LoadError, match="no message has a time"):
        list(MapSpeaker("Ada", cut="day").invoke(untimed))
    mixed = [{"messages": [*timed(EXPORTS["ISO"]), said("Ada", "?")]}]
    assert [len(each["messages"]) for each in MapSpeaker("Ada", cut="day").invoke(mixed)] == [2, 2]


def test_no_chats_are_cut_into_none():
    for chats in ([], [{"messages": []}]):
        assert not any(each["messages"] for each in MapSpeaker("Ada", cut="day").invoke(chats))


@pytest.mark.parametrize("cut", ["week", timedelta(), timedelta(hours=-1)])
def test_a_wrong_cut_is_refused(cut):
    with pytest.raises(InvalidArgumentError, match="cut"):
        MapSpeaker("Ada", cut=cut)
