"""What the scan of a line passes over holds no secret, however the text is escaped there."""

import json
import random
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langsmith.anonymizer import DEFAULT_SECRET_RULES

from langchain_finetune.convert.rows import Outcome, Row, encode_line
from langchain_finetune.convert.secrets import in_line, line_scan, masked, secret_rows
from langchain_finetune.convert.texts import change_texts

RULES = [rule["pattern"] for rule in DEFAULT_SECRET_RULES]
SCAN = line_scan(RULES)
PLACES = ("content", "part", "arguments", "escaped", "result", "description", "name", "no json")
MANY = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=150)


def escaped(text, chance=0.3):
    """Return a JSON string in which any character may be escaped, as a model may write it."""
    drawn = random.Random(text)
    short = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\t": "\\t"}

    def written(char):
        if char in '"\\' or char < " " or drawn.random() < chance:
            units = char.encode("utf-16-be", "surrogatepass").hex()
            long = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
            return drawn.choice([short.get(char, long), long, long.upper().replace("\\U", "\\u")])
        return char

    return f'"{"".join(map(written, text))}"'


def chat(text, place):
    """Return an example that holds a text at some place."""
    arguments = {"a": [{"b": text}]}
    written = {"escaped": f'{{"a": {escaped(text)}}}', "no json": f"{{{text}"}
    results = {"result": json.dumps(arguments), "content": text}
    call = {"name": "find", "arguments": "{}"}
    if place in {"arguments", "escaped", "no json"}:
        call["arguments"] = written.get(place) or json.dumps(arguments, ensure_ascii=False)
    tool = {"name": "find", "description": text if place == "description" else "Finds"}
    return {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": text}] if place == "part" else "Hi",
            },
            {"role": "assistant", "name": text if place == "name" else "ann", "content": "Ok"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "c", "content": results.get(place, "Here")},
        ],
        "tools": [{"type": "function", "function": tool}],
    }


def holds_secret(row):
    found = []
    change_texts(row, lambda text, _: found.extend(masked(text)[1]) or text)
    return bool(found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern[:20])
def test_every_rule_of_langsmith_can_be_looked_for(rule):
    """One that can't be would make every row take the slow way."""
    assert in_line(rule)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern[:20])
def test_what_a_rule_finds_is_seen_wherever_it_stands(rule):
    around = st.text(max_size=3)

    @settings(MANY, max_examples=50)
    @given(around, st.from_regex(rule, fullmatch=True), around, st.sampled_from(PLACES))
    def all_are_seen(before, secret, after, place):
        text = f"{before} {secret}{after}"
        try:
            line = encode_line(chat(text, place))
        except TypeError:
            return  # Half characters: JSON can't say them.
        if holds_secret(json.loads(line)):
            assert SCAN(line)

    all_are_seen()


@MANY
@given(
    st.text(st.sampled_from("sk-Ab1_.:=@/\"'\\ \n\t\u00a0\u0130\u0131\u017f\u212aeéyEtoTOkn{}")),
    st.sampled_from(PLACES),
    st.sampled_from(['{} token{}="Ab1Ab1Ab1"', "{}api{}key: Ab1Ab1Ab1", "a://b:{}{}@c", "{}{}"]),
)
@example("\u212a", "content", "{}to{}en=Ab1Ab1Ab1")
@example("\u017f", "escaped", "{} acces{}_key=Ab1Ab1Ab1")
def test_strange_characters_hide_nothing(text, place, form):
    half = len(text) // 2
    line = encode_line(chat(form.format(text[:half], text[half:]), place))
    if holds_secret(json.loads(line)):
        assert SCAN(line)


def test_kelvins_are_seen():
    """Python takes the Kelvin sign for a k where case does not count."""
    for text in ("to\u212aen=Ab1Ab1Ab1", "a_to\u212aEN: Ab1Ab1Ab1"):
        assert masked(text)[1] == ["assigned"]
        for place in PLACES[:5]:
            assert SCAN(encode_line(chat(text, place)))


PLAIN = [
    "Ask for the key at the desk: 12 tokens, a secret, https://example.com:8080/a?b=1 @ 10:30",
    'He said: "C:\\new\\table", naïve café\n' * 3,
    "今天很好 \u2028 password?",
    '{"city": "Zürich", "monkey": 1, "hotkeys": ["a"]}',
]


@pytest.mark.parametrize("text", PLAIN)
@pytest.mark.parametrize("place", PLACES)
def test_plain_talk_is_passed_over(text, place):
    # A slash that a model escaped is looked at.
    assert SCAN(encode_line(chat(text, place))) == (place == "escaped")


def test_a_secret_after_the_same_tools_is_seen():
    """Tools are remembered, and what follows them is no part of them."""
    secret = "sk-" + "Ab1" * 16
    tools = [{"type": "function", "function": {"name": "find"}}]
    request = {"messages": [{"role": "user", "content": "Hi"}], "tools": tools}
    good, bad = [{"role": "assistant", "content": text} for text in ("No", secret)]
    plain = {"input": request, "preferred_output": [good]}
    for _ in range(2):
        assert not SCAN(encode_line(plain))
        assert SCAN(encode_line({**plain, "non_preferred_output": [bad]}))
        assert SCAN(encode_line(chat(secret, "description")))
        assert SCAN(encode_line({"messages": [bad], "tools": tools}))


@pytest.mark.parametrize(
    "pattern",
    [
        "^key",
        "key$",
        "(?=a)key",
        "(?<=a)key",
        "(?!(a))b",
        "(?P<a>b)",
        "k.y",
        r"k\w",
        "[^n]",
        r"[^\\]",
        r"(a)\1",
        "(?i:key)",
        "k\u00e9y",
        '"key"',
        r"\Akey",
        r"[\w]",
        "(?>a)",
    ],
)
def test_a_rule_of_an_unknown_kind_makes_every_line_worth_a_look(pattern):
    assert in_line(re.compile(pattern)) is None
    assert line_scan([re.compile(pattern)])(b"{}")


def test_neither_flags_nor_what_re2_refuses_are_guessed_at():
    assert in_line(re.compile("a b", re.VERBOSE)) is None
    assert in_line(re.compile("ab", re.ASCII)) is None
    assert line_scan([re.compile("a{2000}")])(b"{}")


def test_an_example_that_json_cannot_say_is_looked_at():
    text = "AKIA" + "IOSFODNN7EXAMPLE"
    example = {"messages": [{"role": "user", "content": f"\ud800 {text}", "x": {1}}]}
    outcome = Outcome()
    assert list(secret_rows(iter([Row("r", {}, example=example)]), outcome, "reject")) == []
    assert outcome.rejected[0].code == "secret_aws"
