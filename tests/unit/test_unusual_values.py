"""Values of other forms than usual on the way from chats to examples, reports and cases."""

import datetime as dt
import importlib
import json
import re
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_openai import ChatOpenAI
from langsmith import Client
from langsmith.utils import LangSmithConflictError

from langchain_finetune import (
    CompareError,
    Convert,
    ConvertError,
    FineTuningError,
    LoadError,
    RolloutChatModel,
    check_file,
)
from langchain_finetune.checks import OPENAI
from langchain_finetune.checks.example import check_example
from langchain_finetune.checks.fixes import arguments_without_surrogates
from langchain_finetune.checks.schema_cost import is_costly
from langchain_finetune.convert.contract import TrainedContract
from langchain_finetune.convert.report.formatting import duration
from langchain_finetune.convert.report.statistics import scripts_of, texts_of
from langchain_finetune.convert.secrets import masked
from langchain_finetune.convert.tokens.openai import OpenAICounter, byte_length
from langchain_finetune.errors import MissingExtraError
from langchain_finetune.evaluation.answers import outputs_of, text_of
from langchain_finetune.evaluation.case_datasets import ensure_cases, read_cases
from langchain_finetune.finetune.contract import (
    ContractWatch,
    bound_as_trained,
    difference,
    with_watch,
)
from langchain_finetune.messages import UnreadableChatError, WireMessages
from langchain_finetune.migration.prompts import make_prompt, read_prompts
from langchain_finetune.migration.sources import (
    count_calls_in_files,
    prompts_from,
    recent_runs,
    rescued_files,
)
from support.command_line import write_chats
from support.store import store_client

CHAT = {"messages": [HumanMessage("Hi"), AIMessage("Hello")]}
ANSWERED = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]


def codes(example):
    return {finding.code for finding in check_example(example, OPENAI)}


def nested(depth, value="x"):
    for _ in range(depth):
        value = {"a": value}
    return value


def test_text_that_only_looks_like_json_has_no_escapes():
    broken = [{"role": "user", "content": '{"a": "\\u003c|endoftext|\\u003e"'}, ANSWERED[1]]
    assert "special_token" not in codes({"messages": broken})
    whole = [{"role": "user", "content": '{"a": "\\u003c|endoftext|\\u003e"}'}, ANSWERED[1]]
    assert "special_token" in codes({"messages": whole})


def test_arguments_that_are_no_json_stay_as_they_are():
    assert arguments_without_surrogates('{"a": "\\ud83d') == '{"a": "\\ud83d'


def test_what_is_nested_deeply_is_checked_without_an_end():
    schema = {"type": "object", "properties": {"a": nested(600)}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert "special_token" not in codes({"messages": ANSWERED, "tools": [tool]})
    assert is_costly(nested(100_000))


def test_a_file_whose_first_line_is_no_example_is_checked_line_by_line(tmp_path):
    path = write_chats(tmp_path / "lines.jsonl")
    for first in ("{", "5"):
        path.write_text(f"{first}\n{path.read_text()}")
    found = check_file(path)
    assert (found.examples, found.rejected) == (14, 2)


def test_letters_without_a_script_are_not_counted():
    assert scripts_of("Яʹ") == {"Cyrillic": 1}


def test_texts_of_parts_are_texts():
    image = {"type": "image_url", "image_url": {"url": "https://a/b"}}
    message = {"content": [{"type": "text", "text": "Hi"}, image]}
    assert list(texts_of(message)) == ["Hi"]


def test_hours_are_told():
    assert duration(SimpleNamespace(seconds=3 * 3600)) == "3.0 h"


def test_what_one_rule_has_masked_is_not_masked_again():
    text, kinds = masked("password = AKIAIOSFODNN7EXAMPLE")
    assert "AKIA" not in text
    assert text.count("[SECRET_DETECTED]") == len(kinds) >= 1


def test_schemas_of_alternatives_and_definitions_are_counted():
    def tokens(schema):
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        [count] = OpenAICounter(byte_length, None).count([{"messages": ANSWERED, "tools": [tool]}])
        return count.total

    room = {"type": "object", "properties": {"beds": {"type": "integer"}}}
    assert tokens({"anyOf": [room]}) == tokens({"oneOf": [room]}) == tokens(room)
    assert tokens({**room, "$defs": {"other": room}}) > tokens(room)
    assert tokens({**room, "definitions": {"other": room}}) == tokens(
        {**room, "$defs": {"other": room}}
    )


@pytest.mark.parametrize(
    "broken",
    [
        {"role": "user", "content": ["a@example.com", 5]},
        {"role": "assistant", "content": "x", "tool_calls": ["call"]},
        {"role": "assistant", "content": "x", "tool_calls": [{"function": {"arguments": 5}}]},
    ],
)
def test_messages_of_any_shape_are_redacted_before_they_are_checked(broken):
    answer = {"role": "assistant", "content": "Write to ann@example.com"}
    chat = {"messages": WireMessages([broken, answer])}
    hide = partial(re.sub, r"\w+@example\.com", "[EMAIL]")
    examples = Convert(redact=hide).invoke([chat])
    list(examples)
    assert len(examples.rejected) == 1
    assert "example.com" not in str(examples.rejected)


# Contracts.

CONTRACT = TrainedContract(examples=1)


def test_a_tool_that_is_no_object_is_another_one():
    function = {"name": "f", "parameters": {"type": "object"}}
    assert difference(["f"], [{"type": "function", "function": function}])


def test_callbacks_that_are_given_as_a_manager_get_the_watch_too():
    runs = RunCollectorCallbackHandler()
    given = CallbackManager([runs])
    found = with_watch({"callbacks": given}, CONTRACT, "m")["callbacks"]
    assert [type(each) for each in found.handlers] == [type(runs), ContractWatch]
    assert given.handlers == [runs]


def test_a_model_that_was_trained_elsewhere_can_not_be_bound():
    with pytest.raises(FineTuningError, match="It is not known here what x was trained with"):
        bound_as_trained(ChatOpenAI(model="x", api_key="k"))


# Cases and answers.


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with store_client(tmp_path_factory.mktemp("store") / "runs.db") as client:
        yield client


def test_a_dataset_without_cases_is_told(client):
    client.create_dataset("empty")
    with pytest.raises(CompareError, match="dataset 'empty' has no examples"):
        read_cases(client, "empty")


CASES = [{"inputs": {"a": 1}, "reference_outputs": {"b": 2}}]


def test_a_dataset_that_another_process_made_is_used(client, monkeypatch):
    create = Client.create_dataset

    def quicker(*arguments, **settings):
        create(*arguments, **settings)
        raise LangSmithConflictError("there is one")

    monkeypatch.setattr(Client, "create_dataset", quicker)
    dataset, examples = ensure_cases(client, CASES)
    assert [each.inputs for each in examples] == [{"a": 1}]
    assert ensure_cases(client, CASES)[0].id == dataset.id


def test_cases_that_do_not_arrive_are_told(client, monkeypatch):
    monkeypatch.setattr(Client, "create_examples", lambda _, **__: None)
    with pytest.raises(LoadError, match="1 of 1 examples are not in the dataset"):
        ensure_cases(client, [{"inputs": {"a": 2}, "reference_outputs": {"b": 2}}])


def test_values_that_json_lacks_are_texts_in_answers():
    found = outputs_of({"at": dt.date(2026, 11, 1)})
    assert "2026-11-01" in json.dumps(found)


def test_an_answer_with_a_providers_own_tool_keeps_text_and_calls():
    call = {"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}
    blocks = [{"type": "server_tool_use", "id": "w"}, {"type": "text", "text": "Found."}]
    found = json.dumps(outputs_of(AIMessage(blocks, tool_calls=[call])))
    assert "Found." in found
    assert '"f"' in found


def test_the_text_of_parts_leaves_other_parts_out():
    image = {"type": "image_url", "image_url": {"url": "https://a/b"}}
    assert text_of([{"type": "text", "text": "A"}, image, {"type": "text", "text": "B"}]) == "AB"


# Prompts.


def test_a_chat_that_is_an_answer_only_has_no_prompt():
    with pytest.raises(UnreadableChatError, match="no message before its answer"):
        make_prompt({"messages": [AIMessage("Hello")]}, {})


def test_a_prompt_that_json_can_not_hold_is_a_skip():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"default": {1, 2}}}}
    with pytest.raises(UnreadableChatError, match="A value that JSON cannot represent"):
        make_prompt({**CHAT, "tools": [tool]}, {})


def test_many_tools_are_named_up_to_a_length():
    tools = [
        {"type": "function", "function": {"name": f"a_long_name_of_a_tool_{n}"}} for n in range(99)
    ]
    names = {make_prompt({**CHAT, "tools": tools[:n]}, {}).stratum for n in (97, 98, 99)}
    assert len(names) == 3
    assert all("... (" in name for name in names)


def test_skips_come_with_the_prompts_after_them():
    skipped = []
    chats = [{"messages": [AIMessage("Hello")]}, CHAT, {"messages": [AIMessage("Hello")]}]
    assert len(list(read_prompts(chats, skipped.append))) == 1
    assert [skip.code for skip in skipped] == ["no_prompt", "no_prompt"]


def test_runs_are_not_read_without_a_key_or_an_engine(tmp_path, monkeypatch):
    for name in ("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LCFT_HOME", str(tmp_path))
    with pytest.raises(LoadError, match="set LANGSMITH_API_KEY, or start the embedded engine"):
        recent_runs("ft:gpt-4o-mini:acme::abc", "app")


def test_a_folder_with_another_manifest_is_no_rescue(tmp_path):
    (tmp_path / "manifest.json").write_text('{"other": 1}')
    assert rescued_files(tmp_path, "ft:gpt-4o-mini:acme::abc") is None


def test_calls_are_counted_in_files(tmp_path):
    path = tmp_path / "runs.jsonl"
    run = {"id": "1", "run_type": "llm", "inputs": {"messages": ANSWERED[:1], "model": "ft:m"}}
    path.write_text(json.dumps(run | {"outputs": {"choices": [{"message": ANSWERED[1]}]}}))
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    found = count_calls_in_files([path], ["ft:m", "ft:n"], since)
    assert (found["ft:m"].count, found["ft:n"].count) == (1, 0)


def test_sources_that_are_none_are_told():
    with pytest.raises(ConvertError):
        list(prompts_from([5], "ft:m", lambda _: None))


# Others.


class Counting(FakeListChatModel):
    def get_num_tokens_from_messages(self, messages, tools=None):
        return 7


def test_a_rollout_counts_tokens_as_the_old_model_does():
    both = RolloutChatModel(
        old=Counting(responses=["old"]), new=FakeListChatModel(responses=["new"]), share=0.0
    )
    assert both.get_num_tokens_from_messages([HumanMessage("Is it even?")]) == 7


def test_langserve_is_asked_for_with_its_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("langchain_finetune.langserve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langserve", None)
    with pytest.raises(MissingExtraError, match="langserve needs the extra langserve: run pip"):
        importlib.import_module("langchain_finetune.langserve")
