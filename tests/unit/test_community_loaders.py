"""Every chat loader of langchain-community composes: its file becomes training examples.

Not here: the Gmail loader, which lives in langchain-google-community and needs the network.
"""

import json
import sqlite3
import zipfile

import pytest

from langchain_finetune import Convert, MapSpeaker
from support.community import community


def examples(loader, sender):
    made = (loader | MapSpeaker(sender) | Convert()).invoke({})
    found = list(made)
    assert found == list(made)
    assert made.rejected == []
    return found


def line(*texts):
    roles = ("user", "assistant")
    return {
        "messages": [
            {"role": roles[index % 2], "content": text} for index, text in enumerate(texts)
        ]
    }


@pytest.fixture
def loaders():
    return community("chat_loaders")


WHATSAPP = """\
[1/2/26, 10:00:00 AM] Bob: Is the boat free?
[1/2/26, 10:00:05 AM] Bob: On Sunday
and Monday
[1/2/26, 10:01:00 AM] Ada: It is.
[1/2/26, 10:02:00 AM] Bob: <Media omitted>
"""


def test_whatsapp(loaders, tmp_path):
    path = tmp_path / "chat.txt"
    path.write_text(WHATSAPP)
    expected = line("Is the boat free?\n\nOn Sunday and Monday", "It is.")
    assert examples(loaders.WhatsAppChatLoader(str(path)), "Ada") == [expected]


def test_without_a_speaker_there_is_nothing_to_learn(loaders, tmp_path):
    path = tmp_path / "chat.txt"
    path.write_text(WHATSAPP)
    made = (loaders.WhatsAppChatLoader(str(path)) | Convert()).invoke({})
    assert list(made) == []
    assert made.rejected_by_reason() == {"no_assistant_message": 1}


def messenger(*said):
    messages = [
        {"sender_name": sender, "timestamp_ms": place} | ({"content": text} if text else {})
        for place, (sender, text) in enumerate(said)
    ]
    return json.dumps({"messages": messages[::-1]})


def test_facebook_messenger(loaders, tmp_path):
    first = tmp_path / "inbox" / "bob" / "message_1.json"
    second = tmp_path / "inbox" / "eve" / "message_1.json"
    for path in (first, second):
        path.parent.mkdir(parents=True)
    first.write_text(messenger(("Bob", "Tea?"), ("Bob", None), ("Ada", "Please")))
    second.write_text(messenger(("Eve", "Milk?"), ("Ada", "A drop")))
    (second.parent / "picture.png").touch()
    single = loaders.SingleFileFacebookMessengerChatLoader(path=first)
    assert examples(single, "Ada") == [line("Tea?", "Please")]
    found = examples(loaders.FolderFacebookMessengerChatLoader(path=tmp_path), "Ada")
    assert sorted(found, key=str) == [line("Milk?", "A drop"), line("Tea?", "Please")]


@pytest.mark.parametrize("old", [True, False], ids=["before macOS 12", "since macOS 12"])
def test_imessage(loaders, tmp_path, old):
    path = tmp_path / "chat.db"
    body = b"...NSString\x01\x94\x84\x01+\x05Seven..."
    database = sqlite3.connect(path)
    database.executescript("""
        CREATE TABLE handle (id TEXT);
        CREATE TABLE message (date INT, text TEXT, is_from_me INT, handle_id INT,
                              attributedBody BLOB);
        CREATE TABLE chat_message_join (chat_id INT, message_id INT);
        INSERT INTO handle VALUES ('bob'), ('ada');
        INSERT INTO chat_message_join VALUES (1, 1), (1, 2), (1, 3);
    """)
    rows = [(1, "When do we meet?", 0, 1, None), (2, None, 1, 2, body), (3, None, 0, 1, None)]
    if old:
        database.executescript("""
            CREATE TABLE chat_handle_join (chat_id INT, handle_id INT);
            INSERT INTO chat_handle_join VALUES (1, 2);
        """)
        rows = rows[1:2]  # That join names the chat's partner for every message.
    database.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    found = examples(loaders.IMessageChatLoader(path), "ada")
    assert found == [line("When do we meet?", "Seven") if not old else FROM_ADA]


FROM_ADA = {"messages": [{"role": "assistant", "content": "Seven"}]}


def test_slack(loaders, tmp_path):
    path = tmp_path / "export.zip"
    said = [
        {"user": "U1", "text": "<@U1> has joined the channel", "ts": "1"},
        {"user": "U1", "text": "Who has the key?", "ts": "2"},
        {"user": "U1", "text": "I am outside", "ts": "3"},
        {"text": "a bot without a user", "ts": "4"},
        {"user": "U2", "text": "I do", "ts": "5"},
    ]
    with zipfile.ZipFile(path, "w") as export:
        export.writestr("general/2026-11-01.json", json.dumps(said))
        export.writestr("readme.txt", "no chat")
    expected = line("Who has the key?\n\nI am outside", "I do")
    assert examples(loaders.SlackChatLoader(path), "U2") == [expected]


TELEGRAM = {
    "name": "Bob",
    "messages": [
        {"date": "2026-11-01T10:00:00", "from": "Bob", "text": "Which train?"},
        {
            "date": "2026-11-01T10:01:00",
            "from": "Ada",
            "text": ["The one at ", {"type": "bold", "text": "nine"}, "."],
        },
        {"date": "2026-11-01T10:02:00", "from": "Ada", "text": "Platform 2"},
    ],
}
TELEGRAM_LINE = line("Which train?", "The one at nine.\n\nPlatform 2")


def test_telegram_json_alone_in_a_folder_and_packed(loaders, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(TELEGRAM))
    packed = tmp_path / "export.zip"
    with zipfile.ZipFile(packed, "w") as export:
        export.write(folder / "result.json", "result.json")
    for path in (folder / "result.json", folder, packed):
        assert examples(loaders.TelegramChatLoader(path), "Ada") == [TELEGRAM_LINE]


def test_telegram_html(loaders, tmp_path):
    (tmp_path / "messages.html").write_text("""
        <div class="message default clearfix">
          <div class="pull_right date details" title="01.11.2026 10:00:00">10:00</div>
          <div class="from_name">Bob</div> <div class="text">Which train?</div>
        </div>
        <div class="message default clearfix">
          <div class="pull_right date details" title="01.11.2026 10:01:00">10:01</div>
          <div class="from_name">Ada</div> <div class="text">The one at nine.</div>
        </div>
        <div class="message default clearfix joined">
          <div class="pull_right date details" title="01.11.2026 10:02:00">10:02</div>
          <div class="text">Platform 2</div>
        </div>
    """)
    assert examples(loaders.TelegramChatLoader(tmp_path), "Ada") == [TELEGRAM_LINE]


def test_no_chat_loader_is_forgotten(loaders):
    tested = {
        "FolderFacebookMessengerChatLoader",
        "IMessageChatLoader",
        "SingleFileFacebookMessengerChatLoader",
        "SlackChatLoader",
        "TelegramChatLoader",
        "WhatsAppChatLoader",
    }
    ours = {"LangSmithDatasetChatLoader", "LangSmithRunChatLoader"}
    assert set(loaders.__all__) - {"BaseChatLoader"} == tested | ours
