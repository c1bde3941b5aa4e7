"""The words of a comparison's report that its terminal and HTML forms share. Pure."""

from collections import defaultdict

from langchain_finetune.display.text import counted
from langchain_finetune.evaluation.report.figures import figure
from langchain_finetune.evaluation.result import ComparisonData, ScoreDifference

VERDICTS = {"pass": "pass", "fail": "fail", "too_few": "too few cases"}


def title(data: ComparisonData) -> str:
    """Return the title, such as `nano:ft-1 against gpt-4.1: pass`."""
    verdict = f": {VERDICTS[data.decision.verdict]}" if data.decision else ""
    return f"{data.new} against {data.old}{verdict}"


def basis(data: ComparisonData) -> str:
    """Return what the comparison rests on."""
    groups = len({case.group for case in data.cases})
    answers = counted(data.repetitions, "answer")
    return (
        f"{counted(len(data.cases), 'case')} of {counted(groups, 'conversation')} in the dataset "
        f"{data.dataset}, {answers} of each model to each case."
    )


def decisive(data: ComparisonData) -> list[ScoreDifference]:
    """Return the difference that a report shows first: that of the worst rule, or the primary."""
    rules = data.decision.rules if data.decision else []
    order = sorted(rules, key=lambda rule: ("fail", "too_few", "pass").index(rule.verdict))
    ruled = [
        each for rule in order for each in data.differences if each.evaluator == rule.evaluator
    ]
    return [*ruled, *data.differences][:1]


def difference_table(data: ComparisonData) -> tuple[list[str], list[list[str]]]:
    """Return what the evaluators show: headings and rows, with verdicts if there were rules."""
    confidence = {f"{each.confidence:.0%}" for each in data.differences}
    interval = f"{confidence.pop()} interval" if len(confidence) == 1 else "interval"
    headings = ["evaluator", "old", "new", "difference", interval, "won / lost / tied"]
    rows = [
        [
            each.evaluator,
            figure(each.old),
            figure(each.new),
            figure(each.difference, sign=True),
            f"{figure(each.low, sign=True)} to {figure(each.high, sign=True)}",
            f"{each.wins:,} / {each.losses:,} / {each.ties:,}",
        ]
        for each in data.differences
    ]
    if data.decision is None:
        return headings, rows
    for row in rows:
        rules = [rule for rule in data.decision.rules if rule.evaluator == row[0]]
        row.append(", ".join(dict.fromkeys(VERDICTS[rule.verdict] for rule in rules)))
    return [*headings, "verdict"], rows


def reasons(data: ComparisonData) -> list[str]:
    """Return the outcome of each rule with its reason, which names the evaluator."""
    rules = data.decision.rules if data.decision else []
    return [f"{VERDICTS[rule.verdict].capitalize()}: {rule.reason}" for rule in rules]


def footnotes(data: ComparisonData) -> list[str]:
    """Return explanations of the figures, and the notes of the comparison."""
    notes = []
    if data.differences:
        notes.append(
            "The difference is new minus old, averaged over the answers to a case first. Its "
            "interval and p are two-sided. Won: the new model scores higher."
        )
    methods = defaultdict(list)
    for each in data.differences:
        methods[each.method].append(f"{each.evaluator} (p = {each.p_value:.2g})")
    notes += [f"{method}: {', '.join(names)}." for method, names in methods.items()]
    for each in data.differences:
        if each.left_out:
            cases = counted(each.left_out, "case")
            notes.append(f"{each.evaluator}: left out {cases} without a score of both models.")
    for evaluator, count in data.failed_evaluations.items():
        notes.append(f"{evaluator} gave no score for {counted(count, 'answer')}.")
    return [*notes, *data.notes]


def refusals(data: ComparisonData) -> dict[str, list[str]]:
    """Return the ids of the cases that were left out by reason, most frequent first."""
    found = defaultdict(list)
    for each in data.refused:
        found[each.reason].append(each.id)
    return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))
