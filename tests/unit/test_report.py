"""The report: right figures, flat memory, no text unless asked, and a page that stands alone."""

import io
import itertools
import json
import re
import uuid
from collections import Counter
from html import escape
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from rich.console import Console

import langchain_finetune
from langchain_finetune import ConversionReport, Convert, Sessions, Skip, Split
from langchain_finetune.checks import Findings
from langchain_finetune.convert.power import power_of
from langchain_finetune.convert.report.conversion_report import make_report
from langchain_finetune.convert.report.distribution import DistributionCount
from langchain_finetune.convert.report.remedies import meaning_of_note, remedy
from langchain_finetune.convert.report.statistics import Tally, scripts_of
from langchain_finetune.convert.rows import Row, Target
from langchain_finetune.display.terminal import make_table
from langchain_finetune.messages import WireMessages
from support.chats import chats, tool
from support.html_page import Page

EXAMPLES = Convert(split=Split(validation=0.1, test=0.1)).invoke(chats(600))


@pytest.fixture(scope="module")
def report():
    return EXAMPLES.report(engine="openai", model="gpt-4.1-mini")


def test_it_agrees_with_the_examples(report):
    examples = list(EXAMPLES)
    answers = [m for e in examples for m in e["messages"] if m["role"] == "assistant"]
    called = Counter(
        call["function"]["name"] for message in answers for call in message.get("tool_calls") or ()
    )
    assert report.sessions == 600
    assert report.kept == len(examples) == sum(report.parts.values())
    assert report.skipped == {"no_assistant_message": 600 - len(examples)}
    assert report.targets == len(answers)
    assert report.calls_to_learn == sum(bool(m.get("tool_calls")) for m in answers)
    assert {each.name: each.called for each in report.tools} == {**called, "lookup_vat": 0}
    assert {each.offered for each in report.tools} == {len(examples)}
    assert report.tools[-1].name == "lookup_vat"
    lengths = sorted(len(e["messages"]) for e in examples)
    assert (report.messages.min, report.messages.max) == (lengths[0], lengths[-1])
    assert report.messages.total == sum(lengths)
    assert report.messages.median == lengths[-(-len(lengths) // 2) - 1]
    assert sum(bar.count for bar in report.tokens.histogram) == len(examples)


def test_it_says_what_the_test_part_can_show(report):
    threads = {row.group for row in EXAMPLES.part("test").rows()}
    assert None not in threads
    assert report.evaluation.cases == report.parts["test"]
    assert report.evaluation.groups == len(threads)
    assert report.evaluation == power_of(report.parts["test"], len(threads))
    said = f"The test part has {report.evaluation}."
    assert said in report.to_html()
    assert said in " ".join(rendered(report, 400).split())


def test_turns_of_a_thread_are_one_conversation():
    split = Split(test=0.5)
    sessions = [
        {**chat, "source": {"thread_id": f"t-{n // 10}"}} for n, chat in enumerate(chats(200))
    ]
    found = Convert(split=split).invoke(sessions).report()
    threads = [f"t-{n}" for n in range(20) if split.part_of(f"thread_id:t-{n}") == "test"]
    assert found.evaluation.groups == len(threads)
    assert found.evaluation.cases > 5 * len(threads)
    assert found.evaluation.gain == power_of(len(threads)).gain


def test_it_hints_at_calls_that_are_trained_more_than_once():
    def call(number):
        function = {"name": "find", "arguments": "{}"}
        calls = [{"id": f"call_{number}", "type": "function", "function": function}]
        result = {"role": "tool", "tool_call_id": f"call_{number}", "content": "7"}
        return [{"role": "assistant", "content": None, "tool_calls": calls}, result]

    asked = {"role": "user", "content": "Find it"}
    done = {"role": "assistant", "content": "It is 7."}
    steps = [asked, *call(1), *call(2), done]
    chats = [
        {"messages": WireMessages(steps[:end]), "source": {"trace_id": trace}}
        for trace in ("t", "u")
        for end in (2, 4, 6)
    ]
    report = Convert().invoke(chats).report()
    assert (report.calls_to_learn, report.repeated_calls) == (10, 6)
    said = "6 of the 10 answers that call a tool are trained more than once"
    assert said in report.to_html()
    assert said in " ".join(rendered(report, 400).split())
    alone = Convert().invoke(
        [{**chat, "source": {"trace_id": str(n)}} for n, chat in enumerate(chats)]
    )
    assert alone.report().repeated_calls == 0
    assert "more than once" not in alone.report().to_html()


def test_without_a_test_part_it_says_nothing():
    report = Convert().invoke(chats(20)).report()
    assert report.evaluation is None
    assert "test part" not in rendered(report) + report.to_html()


def test_it_is_json_and_back(report):
    assert ConversionReport.model_validate_json(report.model_dump_json()) == report


def test_what_the_loader_skipped_came_in_too():
    def read(skip):
        skip(Skip("r-9", "errored_run", "The run ended with an error."))
        yield from chats(5)

    report = Convert().invoke(Sessions(read)).report()
    assert (report.sessions, report.kept) == (6, 4)
    assert report.skipped == {"errored_run": 1, "no_assistant_message": 1}


def test_each_reason_says_what_it_means_and_what_would_mend_it():
    def read(skip):
        skip(Skip("r-9", "errored_run", "The run ended with an error."))
        yield from chats(5)
        yield {"messages": [HumanMessage("Hi"), AIMessage("")]}

    report = Convert().invoke(Sessions(read)).report()
    assert report.meanings["errored_run"] == "The run ended with an error."
    page = " ".join(report.to_html().split())
    assert "left out: errored run<small class=" in page
    errored = "The run ended with an error. Nothing needs doing: there is no answer to learn from."
    assert f">{errored}</small>" in page
    # A remedy that `fix=True` knows is named with what is wrong.
    meaning = report.meanings["empty_target"]
    remedy = "With Convert(fix=True): The turn becomes context (weight 0)."
    assert f">{escape(meaning)} {remedy}</small>" in page
    assert "(message" not in meaning


READERS = "".join(
    path.read_text() for path in Path(langchain_finetune.__file__).parent.rglob("*.py")
)


@pytest.mark.parametrize(
    "code", sorted(set(re.findall(r"""UnreadableChatError\(\s*"([a-z_]+)",""", READERS)))
)
def test_each_reason_of_a_reader_has_a_remedy_of_its_own(code):
    assert remedy(code).endswith(".")
    assert remedy(code) != remedy("any other reason")
    assert "`rejected`" in remedy("any other reason")


def test_ids_stay_whole_in_a_terminal_of_80_columns():
    ids = [str(uuid.UUID(int=number)) for number in range(12)]
    table = make_table("Outliers", ("chat", "why"), [(each, "long " * 20) for each in ids])
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(each in line for line in lines) for each in ids)


def test_each_note_says_what_it_counts():
    found = [{"messages": [HumanMessage("Hi"), AIMessage("Hello!")]}] * 2
    page = " ".join(Convert().invoke(found).report().to_html().split())
    assert ">Chats that came before; Convert(duplicates=&quot;drop_exact&quot;)" in page
    for code in ("fixed.empty_tools", "secrets.openai", "left_out.tools", "tools_unknown"):
        assert meaning_of_note(code).endswith(".")


def test_the_chosen_engine_comes_first_and_once(report):
    first, *others = report.estimates
    assert (first.engine, first.model) == ("openai", "gpt-4.1-mini")
    assert first.examples == report.parts["train"]
    assert first.usd == pytest.approx(first.tokens * first.n_epochs * 5 / 1e6, abs=1e-4)
    assert {"nano", "gpt-4.1"} <= {each.model for each in others}
    assert "gpt-4.1-mini" not in {each.model for each in others}
    dated = EXAMPLES.report(engine="openai", model="gpt-4.1-2025-04-14", n_epochs=2)
    assert [e.model for e in dated.estimates if e.model.startswith("gpt-4.1")] == [
        "gpt-4.1-2025-04-14",
        "gpt-4.1-mini",
    ]
    assert dated.estimates[0].n_epochs == 2


def test_the_strangest_are_found_for_their_reason(report):
    reasons = {each.id: each.reasons[0] for each in report.outliers}
    assert len(report.outliers) == 10
    assert report.outliers[0].id == "run-00200"
    assert reasons["run-00200"].endswith(f"(median {report.tokens.median:,})")
    assert reasons["run-00311"] == "calls escalate: the only one"
    scores = [each.score for each in report.outliers]
    assert scores == sorted(scores, reverse=True)


def test_a_rare_script_is_strange():
    usual = [
        {"messages": [HumanMessage(f"Where is order {n}?"), AIMessage("On its way")]}
        for n in range(200)
    ]
    odd = {"messages": [HumanMessage("Где мой заказ?"), AIMessage("Уже в пути")]}
    report = Convert().invoke([*usual, odd]).report()
    assert report.scripts == {"Latin": 200, "Cyrillic": 1}
    assert [each.id for each in report.outliers] == ["session 200"]
    assert report.outliers[0].reasons[0] == "mostly in Cyrillic script: the only one"


def test_among_equals_nothing_is_strange():
    same = [{"messages": [HumanMessage("Hi"), AIMessage("Hello")]}] * 100
    assert Convert().invoke(same).report().outliers == []


def test_text_is_there_only_where_it_was_asked_for(report):
    texts = [
        message["content"]
        for line in EXAMPLES
        for message in line["messages"]
        if message["content"]
    ]
    shown = report.to_html() + report.model_dump_json() + rendered(report)
    assert not [text for text in texts if text[:40] in shown and len(text) > 20]
    quoting = EXAMPLES.report(text=True)
    assert "<blockquote>question: " in quoting.to_html()
    assert all(each.text for each in quoting.outliers)


def rendered(report, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(report)
    return console.export_text()


def test_a_terminal_shows_tables(report):
    text = rendered(report)
    for said in ("examples kept", "gpt-4.1-mini", "find_order", "never", "run-00200", "2026-11"):
        assert said in text
    assert "examples kept" in str(report)
    assert "median" in rendered(report, 60)


def test_the_page_stands_alone_and_is_readable_without_plots(report):
    page = Page(report.to_html())
    names = [name for name, _ in page.attributes]
    assert not page.tags.keys() & {"script", "link", "img", "iframe"}
    assert not {"src", "href"} & set(names)
    assert not [name for name in names if name.startswith("on")]
    assert "http" not in report.to_html()
    assert page.tags["h1"] == page.tags["main"] == 1
    assert page.tags["svg"] >= 3
    # Each plot says what it shows, or is hidden where a number stands beside it.
    assert names.count("aria-label") + names.count("aria-hidden") == page.tags["svg"]
    assert page.tags["table"] >= 7
    assert ("name", "viewport") in page.attributes
    assert "prefers-color-scheme: dark" in report.to_html()


def test_names_from_outside_are_no_markup():
    evil = "<script>alert(1)</script>[bold]\x1b[2J"
    tally = Tally(text=True)
    said = [{"role": "user", "content": evil}, {"role": "assistant", "content": evil}]
    tally.add(Row(evil, {}, example={"messages": said, "tools": [tool("f" + evil)]}))
    for _ in range(40):
        tally.add(Row("usual", {}, example={"messages": said * 40}))
    report = make_report(
        tally,
        Target(model=evil),
        sessions=41,
        rejected=[Skip("r-1", evil, evil)],
        notes={evil: 1},
        findings=Findings(),
    )
    assert report.outliers[0].id == evil
    assert not Page(report.to_html()).tags["script"]
    assert "[bold]" in rendered(report, 200)
    assert "\x1b" not in rendered(report, 200)


def test_a_notebook_gets_the_page_without_its_frame(report):
    shown = report._repr_html_()
    assert shown.startswith("<style>")
    assert "<html" not in shown
    # Its style touches nothing around it.
    style = shown.split("</style>")[0].removeprefix("<style>")
    rules = [line for line in style.splitlines() if "{" in line and not line.startswith((" ", "@"))]
    assert rules
    assert all(line.startswith(".lcft") for line in rules)


def test_no_examples_make_a_report_too():
    report = Convert().invoke([]).report()
    assert report.kept == report.sessions == 0
    assert Page(report.to_html()).tags["h1"] == 1
    assert "Conversion" in rendered(report)


def test_the_page_is_written_where_asked(report, tmp_path):
    html = report.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == html


def test_the_json_holds_numbers_of_json(report):
    json.loads(report.model_dump_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize("values", [[5], [1, 1, 1], [3, 50, 400, 10**6], list(range(5000)), []])
def test_a_spread_keeps_every_example(values):
    count = DistributionCount()
    for value in values:
        count.add(value)
    spread = count.distribution()
    assert spread.total == sum(values)
    assert sum(bar.count for bar in spread.histogram) == len(values)
    assert len(spread.histogram) <= 30
    if values:
        assert (spread.min, spread.max) == (min(values), max(values))
        assert spread.median == pytest.approx(sorted(values)[(len(values) - 1) // 2], rel=0.005)
        edges = [(bar.start, bar.end) for bar in spread.histogram]
        assert all(end == after for (_, end), (after, _) in itertools.pairwise(edges))


def test_a_spread_takes_flat_memory():
    count = DistributionCount()
    for value in range(200_000):
        count.add(value)
    assert len(count._counts) < 2000


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("Hello, 42!", {"Latin": 5}),
        ("Ünïcode ß", {"Latin": 8}),
        ("ＦＵＬＬ 𝐛𝐨𝐥𝐝", {"Latin": 8}),
        ("Ωμέγα Привет", {"Greek": 5, "Cyrillic": 6}),
        ("漢字 かな カナ 한글", {"Han": 2, "Hiragana": 2, "Katakana": 2, "Hangul": 2}),
        ("123 ... 🙂", {}),
        ("שלום مرحبا नमस्ते", {"Hebrew": 4, "Arabic": 5, "Devanagari": 4}),
    ],
)
def test_scripts(text, scripts):
    assert scripts_of(text) == scripts


def test_pairs_and_completions_are_counted_too():
    tally = Tally(text=True)
    asked, good, bad = ({"role": "user", "content": "Hi"}, *ANSWERS)
    pair = {
        "input": {"messages": [asked], "tools": [tool("wave")]},
        "preferred_output": [good],
        "non_preferred_output": [bad],
    }
    tally.add(Row("pair", {}, example=pair))
    tally.add(Row("completion", {}, example={"prompt": "Однажды", "completion": " жила"}))
    assert (tally.examples, tally.targets, tally.offered) == (2, 2, {"wave": 1})
    assert tally.scripts == {"Latin": 1, "Cyrillic": 1}


ANSWERS = [{"role": "assistant", "content": text} for text in ("Hello!", "What?")]
