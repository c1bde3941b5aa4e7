"""Simulated users of the app, who ask questions and rate most of the answers."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.tracers.langchain import wait_for_all_tracers
from langsmith import Client, uuid7
from openai import OpenAIError

from walkthrough.calculator import Calculator, functions_chain, tools_chain
from walkthrough.questions import Question, asked

FEEDBACK_KEY = "user_score"

LIKED = f'and(eq(feedback_key, "{FEEDBACK_KEY}"), gt(feedback_score, 0))'
"""The root runs that a user liked, in LangSmith's filter language."""

SUCCEEDED_AND_LIKED = f'and(eq(status, "success"), {LIKED})'


@dataclass
class Traffic:
    """Numbers of questions by outcome."""

    asked: int = 0
    failed: int = 0
    liked: int = 0
    disliked: int = 0


def record_traffic(
    teacher: BaseChatModel, client: Client, project: str, tick: Callable[[], None] = lambda: None
) -> Traffic:
    """Ask every question with tools and with legacy functions; add feedback to the root runs.

    LangChain's own tracer records the runs (`LANGSMITH_TRACING=true`). One user in eight gives no
    feedback.

    Args:
        teacher: The model of the app.
        client: Client that sends the feedback.
        project: Project of the tracer (`LANGSMITH_PROJECT`).
        tick: Called after each question.
    """
    traffic = Traffic()
    feedback: list[tuple[uuid.UUID, bool]] = []
    for chain in (tools_chain(teacher), functions_chain(teacher)):
        for question in asked():
            run_id = uuid7()
            traffic.asked += 1
            try:
                answer = chain.invoke({"input": question.text}, {"run_id": run_id})
            except (OpenAIError, OutputParserException, TimeoutError, ValueError, AttributeError):
                traffic.failed += 1
            else:
                if traffic.asked % 8:
                    feedback.append((run_id, answer == _right_answer(question)))
            tick()
    wait_for_all_tracers()
    client.flush()
    project_id = client.read_project(project_name=project).id
    for run_id, liked in feedback:
        client.create_feedback(run_id, key=FEEDBACK_KEY, score=float(liked), session_id=project_id)
        traffic.liked += liked
        traffic.disliked += not liked
    client.flush()
    return traffic


def _right_answer(question: Question) -> float:
    call = Calculator(num1=question.num1, num2=question.num2, operation=question.operation)
    return call.calculate()
