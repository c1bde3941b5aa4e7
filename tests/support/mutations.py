"""Runs that something was done to: what hypothesis draws."""

import copy

from hypothesis import strategies as st

from support.dialects import (
    CALLING,
    ITEMS,
    RUNS,
    STREAMED_USE,
    THINKING,
    THOUGHT,
    TOOL_USE,
)
from support.instrumentors import RUNS_OF_APPS
from support.runs import CALL, SENT, TOOL

PIECES = [
    *[data for data, _ in (*RUNS.values(), *RUNS_OF_APPS.values())],
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
WORDS += ["config", "system", "tools", "finish_reason", "model_parameters", "instructions"]
VALUES = ["assistant", "user", "tool_use", "tool_result", "image", "reasoning", "<class 'a.B'>"]
VALUES += ["length", "tool-call", "tool-result", "functionCall", "function_response", "tool"]
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
def mutated_runs(draw, runs=None):
    """A run of any dialect with up to three things in it replaced, dropped, doubled or added."""
    known = (*RUNS.values(), *RUNS_OF_APPS.values())
    runs = [run for run, _ in known] if runs is None else runs
    data = copy.deepcopy(draw(st.sampled_from(runs)))
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
