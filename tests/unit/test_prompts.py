"""Prompts for `record`: from files, runs and stored completions, deduplicated and stratified."""

import json
from collections import Counter

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import AnswerUsage, LoadError, RunFileChatLoader
from langchain_finetune.dialects.run import read_run
from langchain_finetune.migration.prices import inference_price
from langchain_finetune.migration.prompts import make_prompt, read_prompts, select_prompts
from langchain_finetune.migration.rate_limits import RateLimits, seconds_of
from langchain_finetune.migration.sources import prompts_from, why_none
from tests.support.openai_account import TOOLS, training_line

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::abc"


def run(number, text, model=MODEL, **params):
    """A run as LangSmith's wrapper of OpenAI's client writes it."""
    asked = [{"role": "user", "content": text}]
    answer = {"role": "assistant", "content": f"Answer {number}."}
    return {
        "id": f"run-{number}",
        "trace_id": f"trace-{number}",
        "run_type": "llm",
        "inputs": {"model": model, "messages": asked, **params},
        "outputs": {"choices": [{"message": answer}]},
        "extra": {},
    }


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def selected(sources, **settings):
    left_out = []
    found = select_prompts(
        prompts_from(sources, MODEL, left_out.append), skip=left_out.append, **settings
    )
    return found, left_out


def test_a_request_has_tools_and_settings_as_the_app_sent_them(tmp_path):
    choice = {"type": "function", "function": {"name": "add"}}
    schema = {"type": "json_schema", "json_schema": {"name": "Sum", "schema": {"type": "object"}}}
    sent = {
        "tools": TOOLS,
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "response_format": schema,
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 50,
        "stop": ["END"],
        "seed": 7,
        "n": 2,
        "stream": True,
    }
    [prompt], _ = selected([write(tmp_path / "runs.jsonl", [run(1, "Hi", **sent)])])
    kept = {name: value for name, value in sent.items() if name not in {"seed", "n", "stream"}}
    assert prompt.request == {"messages": [{"role": "user", "content": "Hi"}], **kept}
    assert prompt.settings_from == "request"
    assert prompt.source["run_id"] == "run-1"


def test_settings_of_langchains_tracer_and_of_the_responses_api(tmp_path):
    traced = {
        **run(1, "Hi"),
        "inputs": {"messages": [[HumanMessage("Hi").model_dump()]]},
        "outputs": {"generations": [[{"message": AIMessage("Hello").model_dump()}]]},
        "extra": {
            "invocation_params": {"model": MODEL, "temperature": 0.5, "_type": "openai-chat"},
            "metadata": {"ls_model_name": MODEL},
        },
    }
    responses = {
        **run(2, "Bye"),
        "inputs": {"model": MODEL, "input": "Bye", "max_output_tokens": 9, "temperature": 0.4},
        "outputs": {
            "output": [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Bye"}],
                }
            ]
        },
    }
    found, _ = selected([write(tmp_path / "runs.jsonl", [traced, responses])])
    by_run = {prompt.source["run_id"]: prompt.request for prompt in found}
    assert by_run["run-1"]["temperature"] == 0.5
    assert by_run["run-2"]["temperature"] == 0.4
    assert by_run["run-2"]["max_completion_tokens"] == 9


def test_values_that_no_request_can_have_are_left_out():
    odd = {"temperature": float("inf"), "top_p": True, "stop": [{}, None], "tool_choice": ["add"]}
    [session] = read_run(run(1, "Hi", **odd))
    assert "sampling" not in session


def test_a_prompt_from_a_training_file_ends_before_the_answer(tmp_path):
    line = training_line("supervised", 2, 3)
    line["messages"][-1]["weight"] = 1
    earlier = {"role": "assistant", "content": "Yes?", "weight": 0}
    line["messages"].insert(1, earlier)
    [prompt], _ = selected([write(tmp_path / "train.jsonl", [line])])
    asked = [line["messages"][0], {"role": "assistant", "content": "Yes?"}, line["messages"][2]]
    assert prompt.request == {"messages": asked, "tools": TOOLS}


def test_lines_of_every_kind_of_file_make_prompts(tmp_path):
    lines = [training_line(kind, 1, 1 + n) for n, kind in enumerate(["dpo", "reinforcement"])]
    found, left_out = selected([write(tmp_path / "train.jsonl", lines)])
    assert [each.request["messages"][-1]["role"] for each in found] == ["user", "user"]
    assert left_out == []


def test_settings_most_used_in_the_traffic_go_to_prompts_without_any(tmp_path):
    runs = [run(n, f"Hi {n}", temperature=0.2 if n else 0.9, max_tokens=99) for n in range(4)]
    files = [
        write(tmp_path / "train.jsonl", [training_line("supervised", 1, 1)]),
        write(tmp_path / "runs.jsonl", runs),
    ]
    found, _ = selected(files)
    [prompt] = [each for each in found if each.origin == "file"]
    assert prompt.settings_from == "traffic"
    assert (prompt.request["temperature"], prompt.request["max_tokens"]) == (0.2, 99)
    given, _ = selected(files, settings={"temperature": 0.6})
    assert {each.request["temperature"] for each in given} == {0.6}


def test_settings_are_those_of_the_traffic_with_the_same_system_prompt(tmp_path):
    """Parts of an app, such as a classifier and an agent, have temperatures of their own."""

    def asked(part, number):
        return [{"role": "system", "content": part}, {"role": "user", "content": str(number)}]

    runs = []
    for number, (part, temperature) in enumerate([("Sort.", 0.1), *[("Talk.", 0.9)] * 3]):
        runs.append(run(number, "", temperature=temperature))
        runs[-1]["inputs"]["messages"] = asked(part, number)
    said = {"role": "assistant", "content": "Yes"}
    lines = [{"messages": [*asked(part, 9), said]} for part in ("Sort.", "Talk.", "Else.")]
    found, _ = selected([write(tmp_path / "t.jsonl", lines), write(tmp_path / "r.jsonl", runs)])
    taken = {
        each.request["messages"][0]["content"]: each.request["temperature"]
        for each in found
        if each.origin == "file"
    }
    assert taken == {"Sort.": 0.1, "Talk.": 0.9, "Else.": 0.9}


def test_without_traffic_there_are_no_settings_to_take_over(tmp_path):
    [prompt], _ = selected([write(tmp_path / "t.jsonl", [training_line("supervised", 1, 1)])])
    assert prompt.settings_from == "none"
    assert prompt.request.keys() == {"messages"}


def test_stored_completions_are_prompts_and_training_data(tmp_path):
    completion = {
        "id": "chatcmpl-1",
        "model": MODEL,
        "temperature": 0.7,
        "top_p": 1.0,
        "tools": TOOLS,
        "tool_choice": None,
        "metadata": {},
        "choices": [{"message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}],
    }
    parts = [{"type": "text", "text": "2+2?"}]
    messages = [{"id": "m-1", "role": "user", "content": None, "content_parts": parts}]
    path = write(tmp_path / "c.jsonl", [{"completion": completion, "messages": messages}])
    [prompt], left_out = selected([path])
    assert prompt.origin == "traffic"
    assert prompt.request["messages"] == [{"role": "user", "content": parts}]
    assert prompt.request["temperature"] == 0.7
    assert prompt.request["tools"] == TOOLS
    assert left_out == []
    [session] = RunFileChatLoader(path).invoke({})
    assert session["messages"][-1].content == "4"


def test_runs_of_another_model_are_left_out_with_their_id(tmp_path):
    runs = [run(1, "Hi"), run(2, "Hello", model="gpt-4.1")]
    found, left_out = selected([write(tmp_path / "runs.jsonl", runs)])
    assert [prompt.source["run_id"] for prompt in found] == ["run-1"]
    assert [(skip.id, skip.code) for skip in left_out] == [("run-2", "other_model")]
    assert why_none(left_out) == "1 other_model (The run called 'gpt-4.1'.)"


def test_what_cannot_be_asked_again_is_left_out_with_a_reason(tmp_path):
    plain = {"prompt": "Once", "completion": "upon a time"}
    failed = {**run(1, "Hi"), "error": "Boom", "outputs": None}
    nameless = run(2, "Who?", response_format="<class 'app.Answer'>")
    found, left_out = selected([write(tmp_path / "rows.jsonl", [plain, failed, nameless])])
    assert found == []
    codes = {"completion_run", "errored_run", "unknown_response_format"}
    assert {skip.code for skip in left_out} == codes
    assert all(skip.id and skip.reason for skip in left_out)


def test_the_same_request_is_asked_once(tmp_path):
    call = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    other = {**call, "id": "call-2"}

    def chat(number, call):
        made = run(number, "Sum")
        made["inputs"]["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "4"},
        ]
        return made

    schema = {"type": "json_object"}
    runs = [chat(1, call), chat(2, other), run(3, "Sum"), run(4, "Sum", response_format=schema)]
    found, left_out = selected([write(tmp_path / "runs.jsonl", runs)])
    assert {prompt.source["run_id"] for prompt in found} == {"run-1", "run-3", "run-4"}
    assert [(skip.id, skip.code) for skip in left_out] == [("run-2", "duplicate")]


def many(count=400):
    """Prompts: most without tools and short; each tenth has tools, each fiftieth is long."""
    for number in range(count):
        line = training_line("supervised", 1, 3 * number + 1)
        if number % 10 == 0:
            line["tools"] = TOOLS
        if number % 50 == 7:
            line["messages"][1]["content"] += " please" * 600
        yield make_prompt(
            {"messages": [HumanMessage(each["content"]) for each in line["messages"]]}
            | {key: value for key, value in line.items() if key == "tools"},
            {"run_id": str(number), "thread_id": f"thread-{number // 3}"},
        )


def test_each_stratum_gets_its_share():
    prompts = list(many())
    everywhere = Counter(prompt.stratum for prompt in prompts)
    assert len(everywhere) >= 3
    left_out = []
    chosen = Counter(
        each.stratum for each in select_prompts(prompts, limit=40, skip=left_out.append)
    )
    assert chosen.total() == 40
    assert len(left_out) == 360
    assert {skip.code for skip in left_out} == {"over_limit"}
    for stratum, count in everywhere.items():
        assert abs(chosen[stratum] - count / 10) <= 1
        assert chosen[stratum] >= 1


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_with_few_prompts_the_largest_strata_come_first(limit):
    prompts = list(many())
    sizes = Counter(prompt.stratum for prompt in prompts)
    chosen = select_prompts(prompts, limit=limit)
    assert {each.stratum for each in chosen} == {name for name, _ in sizes.most_common(limit)}


def test_the_selection_depends_on_the_seed_only():
    prompts = list(many())
    first = select_prompts(prompts, limit=40)
    assert select_prompts(prompts[::-1], limit=40) == first
    other = select_prompts(prompts, limit=40, seed=1)
    assert {each.id for each in other} != {each.id for each in first}


def test_whole_conversations_are_held_out():
    chosen = select_prompts(many(), limit=300, held_out=0.2)
    held = {each.group for each in chosen if each.held_out}
    assert held.isdisjoint(each.group for each in chosen if not each.held_out)
    assert 60 <= sum(each.held_out for each in chosen) <= 62


def test_nothing_is_held_out_of_a_single_conversation_or_if_not_wanted():
    prompts = list(many(2))
    assert not any(each.held_out for each in select_prompts(prompts))
    assert not any(each.held_out for each in select_prompts(many(), held_out=0))
    assert sum(each.held_out for each in select_prompts(many(4))) >= 1


def test_prompts_stream():
    """Reading is lazy: a source of any size is not kept."""
    taken = []

    def sessions():
        for number in range(10):
            taken.append(number)
            yield {"messages": [HumanMessage(str(number)), AIMessage("Hello")]}

    prompts = read_prompts(sessions(), lambda _: None)
    next(prompts)
    assert len(taken) == 1


def test_a_rescue_without_the_model_is_named(tmp_path):
    manifest = {
        "engine": "openai",
        "base_url": "http://127.0.0.1:1/v1",
        "started_at": "2026-11-29T00:00:00Z",
        "updated_at": "2026-11-29T00:00:00Z",
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LoadError, match="does not have ft:gpt-4o-mini"):
        selected([tmp_path])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("20ms", 0.02), ("7", 7), ("", None),
     ("soon", None), ("-1s", None), ("1s later", None)],
)  # fmt: skip
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


def headers(left, limit, reset, kind="requests"):
    return {
        f"x-ratelimit-remaining-{kind}": str(left),
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-reset-{kind}": reset,
    }


def test_requests_wait_until_there_is_room():
    limits = RateLimits()
    assert limits.wait_s(100, now=0) == 0
    limits.told(headers(2, 62, "60s"), now=0, waiting=0)
    for _ in range(2):
        assert limits.wait_s(100, now=0) == 0
        limits.sent(100)
    # One request more has room after a second: 60 are free again after 60 seconds.
    assert limits.wait_s(100, now=0) == pytest.approx(1)
    assert limits.wait_s(100, now=1.01) == 0
    assert limits.wait_s(100, now=60) == 0


def test_tokens_have_a_limit_of_their_own():
    limits = RateLimits()
    limits.told(headers(500, 30_000, "59s", kind="tokens"), now=0, waiting=3)
    assert limits.wait_s(400, now=0) == 0
    assert limits.wait_s(1_500, now=0) == pytest.approx(2)
    assert limits.wait_s(100_000, now=0) == pytest.approx(59)


def test_a_pause_holds_for_all():
    limits = RateLimits()
    limits.pause(5, now=10)
    limits.pause(1, now=10)
    assert limits.wait_s(1, now=12) == 3
    limits.told({"x-ratelimit-remaining-requests": "many"}, now=12, waiting=0)
    assert limits.wait_s(1, now=15) == 0


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("ft:gpt-4o-2024-08-06:acme::a", (3.75, 15.0)),
        ("ft:gpt-4o-mini-2024-07-18:acme:shop:a", (0.3, 1.2)),
        ("ft:gpt-4.1-2025-04-14:acme::a:ckpt-step-10", (3.0, 12.0)),
        ("ft:gpt-4.1-mini-2025-04-14:acme::a", (0.8, 3.2)),
        ("gpt-4.1-mini", None),
        ("ft:gpt-3.5-turbo-0125:acme::a", None),
    ],
)
def test_prices_of_fine_tuned_models_are_known_at_openai_only(model, price):
    found = inference_price(model, "openai", "https://api.openai.com/v1")
    assert (found and (found.input_usd, found.output_usd)) == price
    assert inference_price(model, "openai", "http://127.0.0.1:1/v1") is None
    assert inference_price(model, "azure", "https://a.openai.azure.com/openai/v1") is None


def test_cached_tokens_cost_less():
    price = inference_price("ft:gpt-4o:acme::a", "openai", "https://api.openai.com/v1")
    usage = {
        "prompt_tokens": 1_000_000,
        "completion_tokens": 100_000,
        "prompt_tokens_details": {"cached_tokens": 400_000},
    }
    used = AnswerUsage().plus({"usage": usage})
    assert used.cost(price) == pytest.approx(0.6 * 3.75 + 0.4 * 1.875 + 1.5)
    assert used.plus({}).plus({"usage": {"prompt_tokens": "many"}}) == used
