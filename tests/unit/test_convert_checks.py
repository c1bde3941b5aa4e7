"""`Convert` and its checks: whose rules, what is fixed, what the strict mode says."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_finetune import Convert, ConvertError, LoadError, Sessions, Skip
from langchain_finetune.checks import OPENAI
from langchain_finetune.convert.check_rows import checked_rows
from langchain_finetune.convert.rows import Outcome, Row, Target
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.messages import WireMessages
from langchain_finetune.sessions import FOLDED
from support.broken import ANSWER, RESULT, TOOL, USER, call, calling, picture, shown

GOOD = {"messages": [HumanMessage("Hi"), AIMessage("Hello")]}
EMPTY = {"messages": [HumanMessage("Anybody there?"), AIMessage("")]}


def session(*messages, run_id="run-1", **settings):
    source = {"run_id": run_id, "trace_id": "trace-1"}
    return {"messages": WireMessages(list(messages)), "source": source, **settings}


WRONG = session(USER, calling(call('{"beds": 0}')), RESULT, ANSWER, tools=[TOOL])


def test_a_finding_names_row_message_run_and_mend():
    examples = Convert().invoke([GOOD, WRONG])
    assert len(list(examples)) == 1
    [finding] = examples.findings
    assert (finding.code, finding.index) == ("arguments_against_schema", 1)
    assert (finding.row, finding.id) == (2, "run-1")
    assert finding.source == {"run_id": "run-1", "trace_id": "trace-1"}
    assert (finding.severity, finding.fixed) == ("error", False)
    assert "weight 0" in finding.fix
    [skip] = examples.rejected
    assert (skip.id, skip.code) == ("run-1", "arguments_against_schema")
    assert skip.reason.endswith("(minimum). (message 1)")


def test_a_warning_keeps_the_example():
    reused = session(USER, calling(call()), RESULT, calling(call()), RESULT, ANSWER, tools=[TOOL])
    examples = Convert(fix=True).invoke([reused])
    [example] = examples
    assert example["messages"] == list(reused["messages"].wire)
    assert examples.findings.warnings == {"reused_call_id": 1}
    assert examples.findings.errors == examples.notes == {}


def test_what_is_mended_is_counted_and_checked_again():
    before = json.dumps(WRONG["messages"].wire)
    examples = Convert(fix=True).invoke([GOOD, WRONG])
    _, example = examples
    assert [message.get("weight") for message in example["messages"]] == [None, 0, None, None]
    assert json.dumps(WRONG["messages"].wire) == before
    assert examples.notes == {"fixed.arguments_against_schema": 1}
    error, warning = examples.findings
    assert (error.fixed, error.row) == (True, 2)
    assert (warning.code, warning.severity) == ("arguments_against_schema", "warning")
    assert examples.findings.fixed == {"arguments_against_schema": 1}
    assert not examples.findings.errors
    assert not examples.rejected


def test_what_cannot_be_mended_whole_is_told_as_it_came():
    half = {**USER, "content": "\ud83d"}
    examples = Convert(fix=True).invoke([session(half, {**ANSWER, "content": ""})])
    assert list(examples) == []
    assert examples.findings.errors == {"empty_target": 1, "invalid_unicode": 1}
    assert examples.findings.fixed == {}
    assert examples.notes == {}


def test_half_a_character_is_found_before_it_is_written(tmp_path):
    chat = {"messages": [HumanMessage("A smile: \ud83d"), AIMessage("Nice")]}
    examples = Convert().invoke([chat, GOOD])
    assert examples.write_jsonl(tmp_path / "a.jsonl").examples == 1
    assert examples.rejected_by_reason() == {"invalid_unicode": 1}
    fixed = Convert(fix=True).invoke([chat])
    [example] = fixed
    assert example["messages"][0]["content"] == "A smile: \ufffd"


@pytest.mark.parametrize(
    ("rules", "engine", "kept"),
    [
        (None, None, 1),
        (None, "openai", 1),
        (None, "local", 0),
        (None, "some gateway", 1),
        ("openai", "local", 1),
        ("local", "openai", 0),
        ("azure", None, 1),
        ("nebius", None, 0),
    ],
)
def test_whose_rules_count(rules, engine, kept):
    examples = Convert(rules=rules).invoke([session(shown(picture()), ANSWER)])
    assert len(list(examples.rows(Target(engine=engine)))) == kept


def test_rules_that_are_not_there():
    with pytest.raises(InvalidArgumentError, match="rules"):
        Convert(rules="bedrock")


def test_findings_start_anew_with_each_iteration():
    examples = Convert().invoke([EMPTY])
    assert list(examples) == list(examples) == []
    assert examples.findings.errors == {"empty_target": 1}


def test_the_strict_mode_names_the_first_and_counts_all_at_the_end():
    chats = [*[session(USER, run_id=f"run-{number}") for number in range(30)], GOOD, EMPTY]
    examples = Convert(strict=True).invoke(chats)
    made = iter(examples)
    assert next(made)["messages"][1]["content"] == "Hello"
    with pytest.raises(ConvertError) as refused:
        next(made)
    lines = str(refused.value).splitlines()
    counts = "30 no_assistant_message, 1 empty_target"
    assert lines[0] == f"31 chats make no training example ({counts})."
    assert lines[1].startswith("- run-0: There is nothing to train on")
    assert (lines[20][:8], lines[21]) == ("- run-19", "- and 11 more")
    assert "Anybody" not in str(refused.value)
    assert list(refused.value.rejected) == examples.rejected
    assert len(examples.rejected) == 31


def test_the_strict_mode_counts_what_the_loader_left_out_and_no_folds():
    def read(skip):
        skip(Skip("r-1", FOLDED, "A later call holds it."))
        yield GOOD
        skip(Skip("r-2", "errored_run", "The run ended with an error."))

    folded = Sessions(lambda skip: iter([skip(Skip("r-1", FOLDED, "."))] and [GOOD]))
    assert len(list(Convert(strict=True).invoke(folded))) == 1
    with pytest.raises(ConvertError, match=r"1 chat makes .*1 errored_run.*\n- r-2: The run ended"):
        list(Convert(strict=True).invoke(Sessions(read)))
    with pytest.raises(LoadError, match="r-2") as refused:
        list(Convert(strict=True).invoke(Sessions(read, strict=True)))
    assert [skip.id for skip in refused.value.skipped] == ["r-2"]


def test_the_strict_mode_is_content_with_warnings_and_mends():
    examples = Convert(strict=True, fix=True).invoke([GOOD, WRONG])
    assert len(list(examples)) == 2


async def test_async_gives_the_same_findings():
    chats = [GOOD, WRONG, EMPTY]
    examples, other = Convert().invoke(chats), await Convert().ainvoke(chats)
    assert list(examples) == list(other)
    assert list(examples.findings) == list(other.findings)
    assert repr(examples.findings) == (
        "Findings(errors={'arguments_against_schema': 1, 'empty_target': 1}, warnings={}, fixed={})"
    )


def test_an_agents_chat_in_langchains_messages_has_no_finding():
    chat = [
        HumanMessage("Two beds?"),
        AIMessage("", tool_calls=[{"name": "find_room", "args": {"beds": 2}, "id": "call_1"}]),
        ToolMessage("free", tool_call_id="call_1", name="find_room"),
        AIMessage("Yes."),
    ]
    examples = Convert().invoke([{"messages": chat, "tools": [TOOL]}])
    assert len(list(examples)) == 1
    assert len(examples.findings) == 0


def test_what_is_no_supervised_line_is_not_mended():
    outcome = Outcome()
    pair = {
        "input": {"messages": [{**USER, "content": "\ud83d"}]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{**ANSWER, "content": "No."}],
    }
    rows = [Row("pair-1", {}, example=pair)]
    assert not list(checked_rows(rows, outcome, OPENAI, method="preference", fix=True))
    assert [skip.id for skip in outcome.rejected] == ["pair-1"]


def test_a_chat_that_another_one_holds_is_not_lost():
    examples = Convert(strict=True, duplicates="drop_exact").invoke([GOOD, GOOD])
    assert len(list(examples)) == 1
    assert examples.rejected_by_reason() == {"duplicate": 1}


@pytest.mark.parametrize("settings", [{}, {"secrets": "reject"}, {"redact": str.lower}])
def test_a_findings_row_is_the_chats_place_whatever_was_left_out_before(settings):
    leaking = session(USER, {"role": "assistant", "content": "sk-ant-api03-" + "a" * 95})
    no_chat = {**session(USER), "source": {"kind": "completion"}}
    examples = Convert(**settings).invoke([no_chat, leaking, GOOD, WRONG])
    list(examples)
    rows = {finding.code: finding.row for finding in examples.findings}
    assert rows == {"secret_anthropic": 2, "arguments_against_schema": 4}


def test_a_finding_of_the_length_has_a_row_too():
    examples = Convert(model="nano", max_example_tokens=1).invoke([GOOD])
    assert list(examples) == []
    [finding] = examples.findings
    assert (finding.code, finding.row) == ("too_long", 1)
