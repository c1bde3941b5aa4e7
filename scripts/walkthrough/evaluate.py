"""How often a model calls the calculator rightly."""

from collections import defaultdict
from collections.abc import Sequence

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from walkthrough.calculator import PROMPT, Calculator
from walkthrough.questions import Question

Score = dict[str, tuple[int, int]]
"""Right answers and questions, by language."""


def evaluate(model: ChatOpenAI, questions: Sequence[Question]) -> Score:
    """Ask a model with the tool bound; right is one call with both numbers and the operation."""
    # A call takes some 40 tokens; an untuned model may talk until it is stopped.
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
    """Tell whether an answer is the one right call, exactly."""
    wanted = {
        "num1": question.num1,
        "num2": question.num2,
        "operation": question.operation,
    }
    calls = [(call["name"], call["args"]) for call in answer.tool_calls]
    return calls == [("Calculator", wanted)]


def total(score: Score) -> tuple[int, int]:
    """Return right answers and questions over all languages."""
    return sum(right for right, _ in score.values()), sum(count for _, count in score.values())
