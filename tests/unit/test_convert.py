"""`Convert` streams examples, counts what it rejects and takes any chat loader."""

import hashlib
import json
from types import MappingProxyType

import pytest
from langchain_core.chat_loaders import BaseChatLoader
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tracers.base import BaseTracer
from langsmith.client import _dumps_json

from langchain_finetune import Convert, ConvertError, MapSpeaker, Sessions, Skip, Split
from langchain_finetune.checks import LOCAL, check_example
from langchain_finetune.errors import InvalidArgumentError

GOOD = {"messages": [HumanMessage("Hi"), AIMessage("Hello")]}
UNANSWERED = {"messages": [HumanMessage("Anybody there?")]}
TRAILING = {"messages": [HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("Bye")]}
UNREADABLE = {"messages": [HumanMessage([{"type": "reasoning"}]), AIMessage("Hello")]}
LINE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


class ListLoader(BaseChatLoader):
    """A chat loader that is no Runnable, like those of langchain-community."""

    def lazy_load(self):
        yield from [GOOD, UNANSWERED]


def test_examples_are_plain_dicts_again_and_again():
    examples = Convert().invoke([GOOD])
    assert list(examples) == list(examples) == [LINE]


def test_rejected_chats_have_an_id_and_a_reason():
    source = {"run_id": "r-1"}
    examples = Convert().invoke([{**UNANSWERED, "source": source}, GOOD, UNREADABLE])
    assert list(examples) == [LINE]
    assert [(skip.id, skip.code) for skip in examples.rejected] == [
        ("r-1", "no_assistant_message"),
        ("session 2", "unsupported_content"),
    ]
    assert examples.rejected_by_reason() == {"no_assistant_message": 1, "unsupported_content": 1}


def test_what_the_loader_skipped_is_counted_too():
    def read(skip):
        skip(Skip("r-9", "errored_run", "The run ended with an error."))
        yield GOOD

    examples = Convert().invoke(Sessions(read))
    assert len(list(examples)) == len(list(examples)) == 1
    assert [skip.id for skip in examples.rejected] == ["r-9"]


def test_messages_after_the_last_answer_are_left_out_and_counted():
    examples = Convert().invoke([TRAILING])
    assert list(examples) == [LINE]
    assert examples.notes["trimmed_messages"] == 1


def test_settings_of_the_request_go_into_the_line():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 2}}}]
    session = {**GOOD, "tools": tools, "parallel_tool_calls": False, "response_format": {}}
    [example] = Convert().invoke([session])
    assert example == {**LINE, "tools": tools, "parallel_tool_calls": False}


def test_parallel_tool_calls_needs_tools():
    [example] = Convert().invoke([{**GOOD, "parallel_tool_calls": True}])
    assert example == LINE


def test_legacy_functions_stay_functions():
    [example] = Convert().invoke([{**GOOD, "functions": [{"name": "f"}]}])
    assert example == {**LINE, "functions": [{"name": "f"}]}


def test_the_file_holds_the_examples_and_its_hash_is_told(tmp_path):
    written = Convert().invoke([GOOD, UNANSWERED, GOOD]).write_jsonl(tmp_path / "train.jsonl")
    data = (tmp_path / "train.jsonl").read_bytes()
    assert [json.loads(line) for line in data.splitlines()] == [LINE, LINE]
    assert (written.examples, written.size) == (2, len(data))
    assert written.sha256 == hashlib.sha256(data).hexdigest()


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path):
    def read(_):
        yield GOOD
        raise OSError("the source broke off")

    path = tmp_path / "train.jsonl"
    path.write_text("old")
    with pytest.raises(OSError, match="broke off"):
        Convert().invoke(Sessions(read)).write_jsonl(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("train.jsonl", "old")
    ]


def test_a_plain_chat_loader_stands_on_the_left_of_a_pipe():
    chain = ListLoader() | Convert()
    assert list(chain.invoke({})) == [LINE]
    assert list(Convert().invoke(ListLoader())) == [LINE]


async def test_sync_and_async_give_the_same():
    chain = ListLoader() | Convert()
    assert list(await chain.ainvoke({})) == list(chain.invoke({}))


@pytest.mark.parametrize("source", ["text", {"messages": []}, 5])
def test_what_is_no_source_of_chats_is_refused(source):
    with pytest.raises(ConvertError, match="must be sessions or a loader"):
        Convert().invoke(source)


def test_unknown_fields_are_refused():
    with pytest.raises(InvalidArgumentError, match="did you mean 'method'"):
        Convert(methd="supervised")


def test_an_iterator_is_read_once_and_says_so():
    examples = Convert().invoke(iter([GOOD]))
    assert list(examples) == [LINE]
    with pytest.raises(ConvertError, match="exhausted"):
        list(examples)


@pytest.mark.parametrize("item", [5, {}, ["Hi"], {"messages": 5}])
def test_what_is_no_session_is_named_by_its_place(item):
    with pytest.raises(ConvertError, match="Item 1 is not a chat session"):
        list(Convert().invoke([GOOD, item]))


def test_a_trace_of_plain_sessions_holds_no_text():
    runs = []

    class Tracer(BaseTracer):
        def _persist_run(self, run):
            runs.append(_dumps_json({"inputs": run.inputs, "outputs": run.outputs}))

    for step in (Convert(), MapSpeaker("Ada")):
        list(step.invoke([GOOD], {"callbacks": [Tracer()]}))
    assert len(runs) == 2
    assert not any(b"Hello" in run for run in runs)


def test_a_method_of_a_built_in_type_is_a_function_like_any_other():
    examples = Convert(redact=str.lower).invoke([GOOD])
    assert examples.settings == {"redact": "builtins.str.lower"}
    [example] = examples
    assert [message["content"] for message in example["messages"]] == ["hi", "hello"]


@pytest.mark.parametrize(
    "source", [{"run_id": object()}, {1: "x"}, MappingProxyType({"run_id": "x"})]
)
def test_a_source_of_any_values_is_told_as_text(source):
    for settings in ({"split": Split(test=0.1)}, {"method": "preference"}):
        chats = [{**GOOD, "source": source, "score": 1}]
        examples = Convert(**settings).invoke(chats)
        assert all(isinstance(key, str) for row in examples.rows() for key in row.source)
        assert examples.outcome.sessions == 1


@pytest.mark.parametrize(
    "wrong", [{"messages": [{"role": "user", "content": "Hi"}]}, {**GOOD, "source": "run-1"}]
)
def test_what_is_almost_a_session_is_told_what_lacks(wrong):
    with pytest.raises(ConvertError, match=r"LangChain messages .* `source`, if present, is a"):
        list(Convert().invoke([wrong]))


def test_a_completion_of_nothing_is_split_like_others():
    source = {"kind": "completion"}
    chat = {"messages": [HumanMessage(""), AIMessage("Once")], "source": source}
    examples = Convert(method="completion", split=Split(test=0.5)).invoke([chat])
    assert len(list(examples)) + len(examples.rejected) == 1


@pytest.mark.parametrize("step", [Convert(), MapSpeaker("Ada")])
def test_a_step_can_be_drawn(step):
    assert type(step).__name__ in step.get_graph().draw_mermaid()
    assert step.get_input_jsonschema()["type"] == "array"


def test_a_file_that_cannot_be_put_in_place_leaves_no_text_behind(tmp_path):
    (tmp_path / "train.jsonl").mkdir()
    with pytest.raises(IsADirectoryError):
        Convert().invoke([GOOD]).write_jsonl(tmp_path / "train.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_epochs": 0}, "n_epochs must be at least 1, not 0"),
        ({"prices": {"my-base": -1}}, "price of my-base must be USD"),
        ({"prices": {"my-base": "4"}}, "price of my-base must be USD"),
    ],
)
def test_a_report_is_not_made_with_wrong_figures(wrong, message):
    with pytest.raises(ConvertError, match=message):
        Convert().invoke([GOOD]).report(**wrong)


def test_a_format_that_a_line_has_no_place_for_is_counted():
    examples = Convert().invoke([{**GOOD, "response_format": {"type": "json_object"}}, GOOD])
    one, other = examples
    assert one == other
    assert examples.notes["response_format_left_out"] == 1


FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "Sum", "schema": {"type": "object"}, "strict": True},
}


def test_a_schema_is_in_the_line_where_the_engine_takes_it():
    with_form = {**GOOD, "response_format": FORMAT}
    [plain], [formatted] = Convert().invoke([with_form]), Convert(rules="local").invoke([with_form])
    assert formatted == {**plain, "response_format": FORMAT}
    for rules in (None, "openai", "azure", "nebius"):
        examples = Convert(rules=rules).invoke([with_form])
        assert list(examples) == list(Convert().invoke([GOOD])) == [plain]
        assert examples.notes["response_format_left_out"] == 1
    other = {**GOOD, "response_format": {"type": "json_object"}}
    assert list(Convert(rules="local").invoke([other])) == [plain]


def test_a_schema_is_in_the_input_of_a_pair_where_the_engine_takes_it():
    worse = {"role": "assistant", "content": "Worse"}
    pair = {**GOOD, "response_format": FORMAT, "rejected": worse}
    [plain] = Convert(method="preference").invoke([pair])
    [formatted] = Convert(method="preference", rules="local").invoke([pair])
    assert formatted["input"] == {**plain["input"], "response_format": FORMAT}


def test_chats_that_differ_in_their_schema_are_no_duplicates():
    other = {**FORMAT, "json_schema": {**FORMAT["json_schema"], "schema": {"type": "array"}}}
    chats = [{**GOOD, "response_format": form} for form in (FORMAT, other, FORMAT)]
    assert len(list(Convert(rules="local", duplicates="drop_exact").invoke(chats))) == 2


def test_texts_of_a_schema_are_redacted():
    schema = {"type": "object", "description": "For Ada"}
    form = {**FORMAT, "json_schema": {**FORMAT["json_schema"], "schema": schema}}
    redact = lambda text: text.replace("Ada", "X")  # noqa: E731
    [line] = Convert(rules="local", redact=redact).invoke([{**GOOD, "response_format": form}])
    shown = line["response_format"]["json_schema"]
    assert shown["schema"]["description"] == "For X"
    assert shown["name"] == "Sum"


@pytest.mark.parametrize("form", ["json", {"type": "json_schema"}, {"json_schema": {"schema": {}}}])
def test_a_broken_format_of_a_line_is_an_error(form):
    line = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    found = check_example({**line, "response_format": form}, LOCAL)
    assert [each.code for each in found] == ["invalid_response_format"]
    assert [each.code for each in check_example({**line, "response_format": form})] == [
        "unknown_key"
    ]
