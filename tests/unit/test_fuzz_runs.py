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
from langchain_finetune.convert.checks import check_example, errors_of
from langchain_finetune.convert.rows import encode_line
from support.dialects import (
    CALLING,
    ITEMS,
    RUNS,
    STREAMED_USE,
    THINKING,
    THOUGHT,
    TOOL_USE,
    ai,
    chat,
    traced,
    wrapped,
)
from support.runs import CALL, SENT, TOOL

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SLOWEST = 2.0
"""Seconds of work that one run may take; a usual one takes a ten-thousandth of that."""

PIECES = [
    *[data for data, _ in RUNS.values()],
    *[data["inputs"] for data, _ in RUNS.values() if "inputs" in data],
    *[data["outputs"] for data, _ in RUNS.values() if "outputs" in data],
    *[*SENT, *ITEMS, *CALLING["messages"]],
    *[CALL, TOOL, TOOL_USE, STREAMED_USE, THINKING, THOUGHT],
    {"__lc_escaped__": {"lc": 1, "type": "secret", "id": ["KEY"]}},
    {"lc": 1, "type": "secret", "id": ["KEY"]},
    {"lc": 1, "type": "not_implemented", "id": ["app", "Room"], "repr": "Room()"},
    {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "id"}},
]
WORDS = ["role", "content", "type", "text", "tool_calls", "id", "messages", "lc", "kwargs", "parts"]
VALUES = ["assistant", "user", "tool_use", "tool_result", "image", "reasoning", "<class 'a.B'>"]
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(VALUES)
)
ANYTHING = st.sampled_from(PIECES) | st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, found=None):
    """Every list and dict in a value that holds something."""
    found = [] if found is None else found
    if isinstance(value, dict | list) and value:
        found.append(value)
        for entry in value.values() if isinstance(value, dict) else value:
            places(entry, found)
    return found


@st.composite
def mutated_runs(draw):
    """A run of any dialect with up to three things in it replaced, dropped, doubled or added."""
    data = copy.deepcopy(draw(st.sampled_from([run for run, _ in RUNS.values()])))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(data)))
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = draw(st.sampled_from(keys))
        change = draw(st.sampled_from(["replace", "drop", "double", "wrap", "add"]))
        if change == "replace":
            place[key] = copy.deepcopy(draw(ANYTHING))
        elif change == "drop":
            del place[key]
        elif change == "wrap":
            place[key] = draw(st.sampled_from([[place[key]], {"__lc_escaped__": place[key]}]))
        elif isinstance(place, list):
            thing = place[key] if change == "double" else draw(ANYTHING)
            place.insert(key, copy.deepcopy(thing))
        else:
            place[draw(st.sampled_from(WORDS))] = copy.deepcopy(draw(ANYTHING))
        if not places(data):
            break
    return data


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
