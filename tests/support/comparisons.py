"""A comparison as `Compare` returns it: 60 cases of 30 conversations, some of them worse."""

from langchain_finetune.evaluation.comparison import ComparisonResult
from langchain_finetune.evaluation.result import (
    ComparedCase,
    Decision,
    ExperimentLink,
    ModelAnswer,
    RefusedCase,
    RuleOutcome,
    ScoreDifference,
)

CASES = 60


def answer(text, number, **changes):
    """An answer of the form that LangChain's tracer stores."""
    score = changes.pop("score", 1.0)
    message = {"lc": 1, "id": ["AIMessage"], "kwargs": {"content": text, "type": "ai"}}
    return ModelAnswer(
        **{
            "outputs": {"output": message},
            "run_id": f"run-{number}",
            "latency_s": 0.5 + number / 100,
            "input_tokens": 100 + number,
            "output_tokens": 20,
            "cost_usd": 0.0004,
            "scores": {"correct": score, "judge": 0.8},
            "comments": {"judge": f"judged {text}"},
        }
        | changes
    )


def case(number, *, old=1.0, new=1.0):
    return ComparedCase(
        id=f"case-{number}",
        group=f"conversation-{number // 2}",
        inputs={"messages": [{"role": "user", "content": f"question {number}"}]},
        reference={"output": f"reference {number}"},
        old=[answer(f"old answer {number}", number, score=old)],
        new=[answer(f"new answer {number}", number, score=new, cost_usd=0.0001)],
    )


def difference(evaluator="correct", **changes):
    return ScoreDifference(
        **{
            "evaluator": evaluator,
            "cases": CASES,
            "groups": CASES // 2,
            "old": 0.95,
            "new": 0.85,
            "difference": -0.1,
            "low": -0.2,
            "high": 0.01,
            "wins": 3,
            "losses": 9,
            "ties": 48,
            "p_value": 0.14,
            "method": "exact McNemar",
        }
        | changes
    )


def comparison(**changes):
    """The result; cases 10 to 20 are worse, in case 30 only the new model failed."""
    cases = [case(number, new=0.0 if 10 <= number < 21 else 1.0) for number in range(CASES)]
    failed = answer("", 30, outputs=None, error="TimeoutError", scores={}, comments={})
    cases[30] = case(30).model_copy(update={"new": [failed]})
    rules = [
        RuleOutcome(
            evaluator="correct",
            kind="at_least",
            bound=-0.02,
            verdict="too_few",
            cases_needed=300,
            reason="correct: 60 cases show at most a loss of 0.200; about 300 are needed.",
        )
    ]
    return ComparisonResult(
        **{
            "id": "3f0e2a4e-0000-4000-8000-000000000000",
            "old": "gpt-4.1",
            "new": "nano:ft-1",
            "dataset": "teas",
            "dataset_id": "d",
            "old_experiment": ExperimentLink(name="old-1", id="1", url="https://s.example/1?a&b"),
            "new_experiment": ExperimentLink(name="new-1", id="2"),
            "url": "https://s.example/both",
            "cases": cases,
            "differences": [
                difference(),
                difference(
                    "judge", old=0.8, new=0.8, difference=0.0, low=-0.0001, high=0.03, wins=0,
                    losses=0, ties=58, left_out=2, method="paired bootstrap by group",
                ),
            ],
            "refused": [
                RefusedCase(id=f"seen-{number}", reason="Training saw it.") for number in range(7)
            ],
            "failed_evaluations": {"judge": 1},
            "notes": ["Prices of 2026-11."],
            "decision": Decision(verdict="too_few", rules=rules),
        }
        | changes
    )  # fmt: skip
