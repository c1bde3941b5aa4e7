"""Whatever a run holds, it makes an example or a skip with a reason: no error, no endless read.

`FUZZ_CASES=20000 python -m pytest tests/unit/test_fuzz_runs.py` tries as many.
"""

import copy
import json
import os
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_finetune import Convert, LangSmithRunChatLoader
from langchain_finetune.checks import check_example, errors_of
from langchain_finetune.convert.rows import encode_line
from support.dialects import ai, chat, traced, wrapped
from support.mutations import ANYTHING, mutated_runs
from support.runs import SENT

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SLOWEST = 2.0
"""Seconds of work that one run may take; a usual one takes a ten-thousandth of that."""


def read(data, reasoning="drop"):
    """Read a run through the loader and `Convert`; what comes out is fit for training."""
    begun = time.thread_time()
    loader = LangSmithRunChatLoader([data], reasoning=reasoning)
    examples = (loader | Convert()).invoke({})
    lines = list(examples)
    for line in lines:
        assert errors_of(check_example(line)) == []
        assert json.loads(encode_line(line)) == line
    assert lines or examples.rejected
    for skip in examples.rejected:
        assert skip.code.replace("_", "").isalpha()
        assert 0 < len(skip.reason) < 120
    assert time.thread_time() - begun < SLOWEST
    return lines, examples.rejected


@settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(mutated_runs(), st.sampled_from(["drop", "keep"]))
def test_a_mutated_run_makes_an_example_or_a_skip(data, reasoning):
    before = copy.deepcopy(data)
    lines, rejected = read(data, reasoning)
    assert repr(data) == repr(before)
    assert read(data, reasoning) == (lines, rejected)
    for message in (message for line in lines for message in line["messages"]):
        assert "reasoning_parts" not in message


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING, ANYTHING, ANYTHING)
def test_any_value_in_any_place_makes_an_example_or_a_skip(one, two, three):
    for data in (
        wrapped(one, two, invocation_params=three),
        traced(ai(one, tool_calls=two, additional_kwargs=three)),
        traced(ai(one), SENT, tools=[two], response_format=three),
        chat(one, tools=two, response_format=three),
        wrapped({"input": one, "instructions": two}, {"output": three}),
        {"attributes": {"gen_ai.prompt": one, "gen_ai.completion": two}, "extra": three},
    ):
        read(data)
