"""Evaluates how often a model calls the calculator correctly."""

from collections import defaultdict
from collections.abc import Sequence

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from walkthrough.calculator import PROMPT, Calculator
from walkthrough.questions import Question

Score = dict[str, tuple[int, int]]
"""Numbers of correct answers and of questions, by language."""


def evaluate(model: ChatOpenAI, questions: Sequence[Question]) -> Score:
    """Evaluate a model; a correct answer is a single call with both numbers and the operation."""
    # A call takes about 40 tokens; a model that is not fine-tuned may not stop.
    chain = PROMPT | model.bind_tools([Calculator], max_tokens=96)
    answers = chain.batch(
        [{"input": question.text} for question in questions], {"max_concurrency": 4}
    )
    score: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for question, answer in zip(questions, answers, strict=True):
        score[question.language][0] += is_right(answer, question)
        score[question.language][1] += 1
    return {language: (right, count) for language, (right, count) in score.items()}


def is_right(answer: AIMessage, question: Question) -> bool:
    """Return whether an answer is exactly the expected call."""
    expected = {
        "num1": question.num1,
        "num2": question.num2,
        "operation": question.operation,
    }
    calls = [(call["name"], call["args"]) for call in answer.tool_calls]
    return calls == [("Calculator", expected)]


def total(score: Score) -> tuple[int, int]:
    """Return the numbers of correct answers and of questions over all languages."""
    return sum(right for right, _ in score.values()), sum(count for _, count in score.values())
