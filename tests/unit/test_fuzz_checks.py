"""Whatever an example holds, the checks say what is wrong; and a fix ends, and fixes.

`FUZZ_CASES=20000 python -m pytest tests/unit/test_fuzz_checks.py` tries as many.
"""

import copy
import json
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_finetune.checks import check_example, check_lines
from langchain_finetune.checks.fixes import fix_example
from support.broken_calls import CALLS
from support.broken_messages import MESSAGES
from support.broken_tools import TOOLS
from support.profiles import PROFILES

CASES = int(os.environ.get("FUZZ_CASES", "300"))
EXAMPLES = [
    broken.example
    for broken in [*MESSAGES, *TOOLS, *CALLS]
    if isinstance(broken.example, dict) and len(str(broken.example)) < 5000
]
WORDS = ["user", "assistant", "tool", "system", "call_1", "find_room", "{}", "<|im_end|>", "\ud83d"]
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=4)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value):
    """Every list and dict in a value that holds something."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from places(inner)


@st.composite
def examples(draw):
    """An example of the corpus with up to four things in it replaced, dropped or doubled."""
    example = json.loads(json.dumps(draw(st.sampled_from(EXAMPLES))))
    for _ in range(draw(st.integers(0, 4))):
        found = list(places(example))
        if not found:
            break
        place = draw(st.sampled_from(found))
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        change = draw(st.sampled_from(["replace", "drop", "double"]))
        if change == "replace":
            place[key] = draw(VALUE)
        elif change == "drop":
            del place[key]
        elif isinstance(place, list):
            place.insert(key, copy.deepcopy(place[key]))
    return example


@settings(max_examples=CASES, deadline=None)
@given(examples(), st.sampled_from(sorted(PROFILES)))
def test_the_checks_never_fail_and_mends_hold(example, name):
    rules = PROFILES[name]
    before = repr(example)
    found = check_example(example, rules)
    for finding in found:
        assert finding.code.replace("_", "").isalpha()
        assert 0 < len(finding.message) < 150
        assert finding.index is None or finding.index < len(example["messages"])
    better, done, left = fix_example(example, found, rules)
    assert repr(example) == before
    assert left == check_example(better, rules)
    assert (repr(better) == before) == (not done)

    # A file says the same of it as memory does.
    [(number, told)] = check_lines([json.dumps(example).encode()], rules)
    assert number == 1
    assert [(f.code, f.index, f.severity, f.message) for f in told] == [
        (f.code, f.index, f.severity, f.message) for f in found
    ]
