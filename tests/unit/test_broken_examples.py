"""The corpus of broken examples: each is found at its place, and fixed where that is safe."""

import http.server
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

import langchain_finetune.checks
from langchain_finetune import ConvertError, check_file
from langchain_finetune.checks import (
    Finding,
    check_example,
    check_lines,
    check_size,
    errors_of,
)
from langchain_finetune.checks.fixes import fix_example
from support.broken import ANSWER, TOOL, USER, agent, call, calling, chat
from support.broken_calls import CALLS
from support.broken_messages import MESSAGES
from support.broken_pairs import BROKEN_COMPLETIONS, BROKEN_PAIRS, BROKEN_UNPAIRED
from support.broken_tools import TOOLS
from support.profiles import PROFILES

CORPUS = [*MESSAGES, *TOOLS, *CALLS]
GOOD = json.dumps(chat(USER, ANSWER)).encode()
each = pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)


def line_of(broken):
    """The example as a line; JSON writes half characters as escapes."""
    example = broken.example
    return example if isinstance(example, bytes) else json.dumps(example).encode()


def found_in(broken):
    [(_, found)] = check_lines([line_of(broken)], PROFILES[broken.rules])
    return found


def test_the_corpus_is_large_and_each_of_it_has_a_name():
    assert len({broken.name for broken in CORPUS}) == len(CORPUS) > 100


@each
def test_it_is_found_at_its_message(broken):
    found = [(finding.code, finding.index, finding.severity) for finding in found_in(broken)]
    assert (broken.code, broken.index, broken.severity) in found
    if broken.severity == "warning":
        assert not errors_of(found_in(broken))


@each
def test_a_file_names_its_row(broken, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join([*[GOOD] * 6, b"", line_of(broken), *[GOOD] * 4]))
    checked = check_file(path, rules=broken.rules)
    assert {finding.row for finding in checked.findings} == {8}
    assert broken.code in {finding.code for finding in checked.findings}
    assert (checked.examples, checked.rejected) == (11, int(broken.severity == "error"))
    assert checked.ok == (broken.severity == "warning")


@pytest.mark.parametrize(
    "broken",
    [broken for broken in CORPUS if not isinstance(broken.example, bytes)],
    ids=lambda broken: broken.name,
)
def test_a_safe_mend_makes_it_fit_and_leaves_the_original(broken):
    rules = PROFILES[broken.rules]
    before = repr(broken.example)
    example, done, left = fix_example(broken.example, check_example(broken.example, rules), rules)
    assert repr(broken.example) == before
    if broken.fixed:
        assert errors_of(left) == errors_of(check_example(example, rules)) == []
        assert broken.code in {finding.code for finding in done}
        assert all(finding.fix for finding in done)
        assert orjson.loads(orjson.dumps(example)) == example
    elif broken.severity == "error":
        assert errors_of(left)


@each
def test_no_sentence_quotes_the_example(broken):
    said = " ".join(finding.message for finding in found_in(broken))
    for secret in ("double", "second floor", "find_room", "book", "Ada", "wall"):
        assert secret not in said


def test_every_rule_has_a_broken_example():
    folder = Path(langchain_finetune.checks.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    named = re.findall(r'(?:check\.add|Finding)\(\s*f?"([\w{}]+)"', source)
    codes = {
        code.replace("{field}", field) for code in named for field in ("tools", "functions")
    } - {"invalid_n_examples", "file_too_large"}
    others = {code for _, code, *_ in (*BROKEN_PAIRS, *BROKEN_UNPAIRED, *BROKEN_COMPLETIONS)}
    assert codes == {broken.code for broken in CORPUS} | others | {"unwritable_value"}


def test_what_json_cannot_say_is_found():
    [finding] = check_example(
        chat({**USER, "content": "Hi", "name": "Ada"}, ANSWER, tools=[{1: 2}])
    )
    assert (finding.code, finding.index) == ("unwritable_value", None)
    found = check_example(chat(USER, {**ANSWER, "annotations": {1}}))
    assert [(finding.code, finding.index) for finding in found] == [("unwritable_value", 1)]


def test_limits_of_files():
    rules = PROFILES["openai"]
    assert check_size(10, 512 * 2**20, rules) == []
    assert [finding.code for finding in check_size(9, 10, rules)] == ["invalid_n_examples"]
    assert [finding.code for finding in check_size(10, 2**29 + 1, rules)] == ["file_too_large"]
    assert check_size(1, 10, rules, training=False) == []
    assert check_size(10, 2**35, PROFILES["nebius"]) == []


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join([GOOD] * 10))
    checked = check_file(path, "azure")
    assert checked.ok
    assert (checked.examples, checked.size) == (10, path.stat().st_size)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConvertError, match=r"train\.jsonl can't be read: No such file"):
        check_file(tmp_path / "train.jsonl")
    with pytest.raises(ConvertError, match="can't be read: Is a directory"):
        check_file(tmp_path)
    with pytest.raises(ConvertError, match=r"rules must be one of openai, azure, .* not 'bedrock'"):
        check_file(tmp_path, rules="bedrock")


def test_all_are_counted_and_the_first_are_kept(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join([b"{}"] * 250 + [GOOD] * 9))
    checked = check_file(path)
    assert checked.findings.errors == {"no_messages": 250}
    assert len(checked.findings) == 100
    assert not checked.ok


def test_ids_of_calls_stay_paired_when_they_get_names():
    calls = [call('{"beds": 1}'), call('{"beds": 2}'), call('{"beds": 3}', call_id="call_1_2")]
    results = [
        {"role": "tool", "tool_call_id": call_id, "content": text}
        for call_id, text in [("call_1", "one"), ("call_1_2", "three"), ("call_1", "two")]
    ]
    broken = agent(USER, calling(*calls), *results, ANSWER)
    example, _, left = fix_example(broken, check_example(broken), PROFILES["openai"])
    assert left == []
    asked = {
        entry["id"]: json.loads(entry["function"]["arguments"])["beds"]
        for entry in example["messages"][1]["tool_calls"]
    }
    told = {message["tool_call_id"]: message["content"] for message in example["messages"][2:5]}
    assert {asked[call_id]: told[call_id] for call_id in asked} == {1: "one", 2: "two", 3: "three"}


def test_the_last_answer_to_learn_never_becomes_history():
    broken = agent(USER, calling(call("{}"), weight=1))
    example, done, left = fix_example(broken, check_example(broken), PROFILES["openai"])
    assert (example, done, len(left)) == (broken, [], 1)


def test_a_finding_reads_well():
    finding = Finding("no_content", "A user message needs content.", 2)
    assert str(finding) == "message 2: A user message needs content. (no_content)"
    finding = replace(finding, row=7, id="run-1")
    assert str(finding) == "row 7, run-1, message 2: A user message needs content. (no_content)"


def test_tools_of_one_name_are_held_to_any_of_their_schemas():
    other = {"type": "function", "function": {**TOOL["function"], "parameters": {"type": "object"}}}
    found = check_example(chat(USER, calling(call("{}")), tools=[TOOL, other]))
    assert [finding.code for finding in found] == ["duplicate_tool_name"]


@pytest.mark.parametrize("keyword", ["$schema", "$ref", "$dynamicRef", "$id"])
def test_a_schema_never_makes_the_check_fetch_anything(keyword):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        schema = {keyword: f"http://127.0.0.1:{server.server_port}/a", "allOf": [{"$ref": "b"}]}
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        found = check_example(chat(USER, calling(call(name="f")), tools=[tool]))
        server.shutdown()
    assert [finding.code for finding in found] == ["unchecked_tool_schema"]
    assert asked == []


def test_a_pattern_that_python_knows_and_json_schema_does_not():
    pattern = {"type": "object", "properties": {"view": {"pattern": "(sea"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": pattern}}
    found = check_example(chat(USER, calling(call(name="f")), tools=[tool]))
    assert [finding.code for finding in found] == ["unchecked_tool_schema"]


def test_files_of_other_methods(tmp_path):
    path = tmp_path / "pairs.jsonl"
    pair = {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{**ANSWER, "content": "No."}],
    }
    path.write_bytes(b"\n".join([json.dumps(pair).encode()] * 10))
    assert check_file(path, method="preference").ok
    assert check_file(path).findings.errors == {"no_messages": 10}
    path.write_bytes(b'{"prompt": "2+2", "completion": "4"}\n' * 9 + b'{"prompt": 5}')
    checked = check_file(path, method="completion")
    assert (checked.rejected, {finding.row for finding in checked.findings}) == (1, {10})
    with pytest.raises(ConvertError, match=r"method must be one of supervised, .* not 'dpo'"):
        check_file(path, method="dpo")
