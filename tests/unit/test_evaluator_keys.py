"""Which keys evaluators give, known before one runs; and rules that name another one."""

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langsmith.evaluation import EvaluationResult
from openevals.exact import exact_match as openevals_exact_match
from openevals.json import create_json_match_evaluator

from langchain_finetune import Compare, FineTune, Gate
from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.evaluation.evaluators import BUILT_IN
from langchain_finetune.evaluation.keys import check_rules, keys_of
from langchain_finetune.evaluation.scoring import WatchedEvaluator
from langchain_finetune.migration.settings import MigrationSettings


def polite(outputs) -> bool:
    return "please" in outputs["content"].lower()


def correct(outputs, reference_outputs):
    if not outputs:
        return 0
    return outputs == reference_outputs


def named(outputs):
    if not outputs:
        return {"key": "no", "score": 0}
    return {"key": "yes", "score": 1, "comment": str(outputs)}


def scored(outputs):
    return {"score": 1}


def handed_on(outputs):
    return openevals_exact_match(outputs=outputs)


def computed(outputs):
    key = "a" + "b"
    return {"key": key, "score": 1}


def mixed(outputs):
    return 1 if outputs else polite(outputs)


def result(outputs):
    return EvaluationResult(key="result", score=1)


@pytest.mark.parametrize(
    ("evaluator", "keys"),
    [
        (polite, ["polite"]),
        (correct, ["correct"]),
        (named, ["no", "yes"]),
        (scored, ["scored"]),
        (BUILT_IN["answer_agreement"], ["answer_agreement"]),
        *((each, []) for each in (handed_on, computed, mixed, result, lambda outputs: True)),
        (create_json_match_evaluator(aggregator="all"), []),
        (openevals_exact_match, []),
        (WatchedEvaluator(polite, None), []),
    ],
)
def test_keys_are_known_only_where_they_are_certain(evaluator, keys):
    assert keys_of(evaluator) == keys


def test_rules_for_unknown_evaluators_are_refused_before_anything_is_asked():
    with pytest.raises(InvalidArgumentError, match=r"better names the evaluator 'polit'.*polite"):
        check_rules([polite], {"at_least": {"polite": -0.1}, "better": {"polit": 0}})
    check_rules([polite, polite], {"better": {"polite 2": 0}})
    # One that may give this key.
    check_rules([polite, handed_on], {"better": {"polit": 0}})
    check_rules(None, {"at_least": {"arguments_match": -0.1}})
    compare = Compare(old=FakeListChatModel(responses=["x"]), evaluators=[polite])
    with pytest.raises(InvalidArgumentError, match="there is only polite"):
        Gate(compare, at_least={"correct": -0.05})
    with pytest.raises(InvalidArgumentError, match="at_least names the evaluator 'correct'"):
        MigrationSettings(
            model="m", to=FineTune(model="nano", engine="local"), out="x",
            at_least={"correct": -0.05},
        )  # fmt: skip
