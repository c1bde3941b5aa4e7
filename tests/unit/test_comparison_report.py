"""The report of a comparison: figures, and their display in a terminal and on a page."""

import io

import numpy as np
import pytest
from rich.console import Console

from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.report import terminal
from langchain_finetune.evaluation.report.figures import (
    case_difference,
    percentile,
    regressions,
    usage_of,
)
from langchain_finetune.evaluation.result import (
    ComparedCase,
    ExperimentLink,
    ModelAnswer,
)
from support.comparisons import answer, case, comparison, difference
from support.html_page import Page

EVIL = "<script>alert(1)</script>[bold]:two:[/]\x1b[2J"


@pytest.fixture(scope="module")
def data():
    return comparison()


def rendered(data, width=120, **options):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal.tables(data, **options))
    return console.export_text()


def test_the_worst_cases_come_first(data):
    assert [each.id for each in regressions(data)] == ["case-30"] + [
        f"case-{number}" for number in range(10, 19)
    ]
    assert len(regressions(data, most=99)) == 12
    guard = case(7)
    guard = guard.model_copy(update={"new": [answer("x", 7, scores={"correct": 1, "judge": 0.1})]})
    worse = comparison(cases=[case(1, new=0.5), guard, case(2), case(3, new=0.0)])
    assert [each.id for each in regressions(worse)] == ["case-3", "case-1", "case-7"]


def test_repetitions_are_averaged_and_what_failed_has_no_score():
    runs = [answer("a", 1, score=1.0), answer("b", 1, score=0.0), answer("c", 1, score=None)]
    each = case(1, old=1.0).model_copy(update={"new": runs})
    assert case_difference(each, "correct") == -0.5
    assert case_difference(each, "unknown") is None
    failed = answer("", 1, error="ValueError", scores={})
    assert case_difference(each.model_copy(update={"new": [failed]}), "correct") is None


def test_what_answers_took(data):
    old, new = usage_of(data, "old"), usage_of(data, "new")
    latencies = [0.5 + number / 100 for number in range(60)]
    assert (old.answers, old.errors, new.errors) == (60, 0, 1)
    assert old.latency_p95_s == pytest.approx(np.percentile(latencies, 95))
    assert old.latency_median_s == pytest.approx(np.median(latencies))
    assert (old.usd_per_1000, old.output_tokens) == (pytest.approx(0.4), 20)
    bare = comparison(cases=[ComparedCase(id="1", group="1", old=[ModelAnswer()])])
    unknown = usage_of(bare, "old")
    assert (unknown.usd_per_1000, unknown.latency_p95_s, unknown.input_tokens) == (None,) * 3
    assert rendered(bare).count("unknown") == 6


@pytest.mark.parametrize("part", [0, 0.05, 0.5, 0.95, 1])
@pytest.mark.parametrize("values", [[1.5], [3, 1, 2], list(range(101)), [0.1] * 7])
def test_percentiles_are_numpys(values, part):
    assert percentile(values, part) == pytest.approx(np.percentile(values, 100 * part))


def test_the_terminal_shows_all_of_it(data):
    text = " ".join(rendered(data, 160).split())
    for said in (
        "nano:ft-1 against gpt-4.1: too few cases",
        "60 cases of 30 conversations in the dataset teas, 1 answer of each model to each case.",
        "correct │ 0.950 │ 0.850 │ -0.100 │ -0.200 to +0.010 │ 3 / 9 / 48 │",
        "95% interval",
        "Too few cases: correct: 60 cases show at most a loss of 0.200; about 300 are needed.",
        "$0.40 │ $0.11",
        "1 of 60 (2%)",
        "failed: TimeoutError",
        "question 10",
        "old answer 10",
        "judge: judged new answer 10",
        "7 │ Training saw it. │ seen-0, seen-1, seen-2, seen-3, seen-4 and 2 more",
        "Experiments: old-1 and new-1.",
        "Both answers to each case: https://s.example/both",
        "judge: left out 2 cases without a score of both models.",
        "exact McNemar: correct (p = 0.14).",
        "judge gave no score for 1 answer.",
        "Prices of 2026-11.",
    ):
        assert said in text
    assert "question 19" not in text  # The eleventh of the worst.
    assert "question 10" in rendered(data, 60)


def test_without_rules_there_is_no_verdict(data):
    ungated = data.model_copy(update={"decision": None})
    assert "erdict" not in rendered(ungated) + ungated.to_html()
    assert "nano:ft-1 against gpt-4.1" in ungated.to_html()


def test_texts_are_left_out_of_the_terminal_where_they_are_not_wanted(data):
    text = rendered(data, texts=False)
    assert "case-10" in text
    assert "correct 1.000 to 0.000" in text
    for training_text in ("question", "answer 1", "judged", "reference"):
        assert training_text not in text


def test_unseen_calls_are_counted_only_if_there_were_any(data):
    assert "recorded result" not in rendered(data) + data.to_html()
    unseen = answer("x", 1, score=0.0, unseen_calls=2)
    told = comparison(cases=[case(1).model_copy(update={"new": [unseen]})])
    assert "calls without a recorded result: 2" in rendered(told)
    assert "Tool calls without a recorded result: 2" in told.to_html()


def test_a_comparison_without_cases_is_shown_too():
    empty = comparison(cases=[], differences=[], refused=[], decision=None)
    assert "0 cases of 0 conversations" in rendered(empty)
    assert Page(empty.to_html()).tags["h1"] == 1
    unscored = comparison(differences=[difference(cases=0, wins=0, losses=0, ties=0)], cases=[])
    assert Page(unscored.to_html()).tags["h1"] == 1


def test_the_page_stands_alone(data):
    page = Page(data.to_html())
    names = [name for name, _ in page.attributes]
    assert not page.tags.keys() & {"script", "link", "img", "iframe"}
    assert "src" not in names
    assert not [name for name in names if name.startswith("on")]
    assert [value for name, value in page.attributes if name == "href"] == [
        "https://s.example/1?a&b",
        "https://s.example/both",
    ]
    assert names.count("aria-label") + names.count("aria-hidden") == page.tags["svg"]
    assert page.tags["article"] == 10
    assert "prefers-color-scheme: dark" in data.to_html()
    assert data._repr_html_().startswith("<style>.lcft")


def test_texts_from_outside_are_no_markup():
    evil = answer(EVIL, 1, score=0.0, scores={EVIL: 0.0}, comments={EVIL: EVIL}, unseen_calls=1)
    failed = answer("", 1, error=EVIL, scores={}, comments={})
    one = ComparedCase(
        id=EVIL, group=EVIL, inputs={"a": EVIL, "b": EVIL}, reference={EVIL: EVIL},
        old=[answer(EVIL, 1, scores={EVIL: 1.0})], new=[evil, failed],
    )  # fmt: skip
    data = comparison()
    rule = data.decision.rules[0].model_copy(update={"evaluator": EVIL, "reason": EVIL})
    link = ExperimentLink(name=EVIL, id="1", url="javascript:alert(1)")
    told = comparison(
        old=EVIL, new=EVIL, dataset=EVIL, cases=[one], old_experiment=link, new_experiment=link,
        url="javascript:alert(2)", differences=[difference(EVIL, method=EVIL)], notes=[EVIL],
        failed_evaluations={EVIL: 1},
        refused=[each.model_copy(update={"id": EVIL, "reason": EVIL}) for each in data.refused],
        decision=data.decision.model_copy(update={"rules": [rule]}),
    )  # fmt: skip
    page = Page(told.to_html())
    assert not page.tags["script"]
    assert "href" not in [name for name, _ in page.attributes]
    for texts in (True, False):
        text = rendered(told, 400, texts=texts)
        assert "[bold]:two:[/]" in text
        assert "\x1b" not in text


def test_any_json_is_an_answer():
    shapes = [
        None, 5, "", "plain", [], [1, {"a": None}], {"x": {"y": {"z": "deep"}}}, {"role": 5},
        {"messages": []}, {"messages": [[{"role": "user"}]]}, {"lc": 1}, {"type": "ai"},
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None}],
        {"content": "x", "type": "ai", "tool_calls": [{"name": "f", "args": {"a": 1}}]},
    ]  # fmt: skip
    for shape in shapes:
        one = ComparedCase(
            id="1", group="1", inputs=shape, reference=shape,
            old=[ModelAnswer(outputs=shape, scores={"correct": 1.0})],
            new=[ModelAnswer(outputs=shape, scores={"correct": 0.0})],
        )  # fmt: skip
        told = comparison(cases=[one])
        assert Page(told.to_html()).tags["article"] == 1
        assert "correct 0.000" in rendered(told)
    assert "x calls f(" in rendered(told)


def test_it_is_json_and_back(data):
    assert ComparisonResult.model_validate_json(data.model_dump_json()) == data


def test_the_result_is_printed_and_shown_and_written(tmp_path):
    result = comparison()
    assert "old answer 10" in str(result)
    assert "\x1b" not in str(result)
    told = "ComparisonResult(old='gpt-4.1', new='nano:ft-1', cases=60, verdict='too_few')"
    assert repr(result) == told
    assert result._repr_html_() in result.to_html()
    path = tmp_path / "report.html"
    assert path.write_text("old") == 3
    assert result.to_html(path) == path.read_text() == result.to_html()
    assert path.stat().st_mode & 0o077 == 0
    console = Console(record=True, file=io.StringIO())
    console.print(result)
    assert "too few cases" in console.export_text()
