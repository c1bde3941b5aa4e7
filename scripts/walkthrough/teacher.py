"""The original model of the app: a rule-based one if there is no API key."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from walkthrough.questions import Question, asked


class RuleBasedTeacher(BaseChatModel):
    """Answers the walkthrough's questions from a table, a few of them incorrectly.

    Every 17th answer has the wrong operation (and is disliked), every 23rd call lacks a number (so
    that the chain fails), and every 29th request fails.
    """

    answered: int = 0

    @property
    def _llm_type(self) -> str:
        return "rule-based-teacher"

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        """Bind tools, like any chat model that calls tools."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager
        self.answered += 1
        if self.answered % 29 == 0:
            raise TimeoutError("The rule-based teacher did not answer.")
        question = _TABLE[str(messages[-1].content)]
        arguments: dict[str, Any] = {
            "num1": question.num1,
            "num2": question.num2,
            "operation": question.operation,
        }
        if self.answered % 17 == 0:
            arguments["operation"] = "+" if question.operation != "+" else "-"
        if self.answered % 23 == 0:
            del arguments["num2"]
        return ChatResult(
            generations=[ChatGeneration(message=_call(arguments, self.answered, kwargs))]
        )


_TABLE: dict[str, Question] = {question.text: question for question in asked()}


def _call(arguments: dict[str, Any], number: int, request: dict[str, Any]) -> AIMessage:
    if "functions" in request:
        call = {"name": "Calculator", "arguments": json.dumps(arguments)}
        return AIMessage(content="", additional_kwargs={"function_call": call})
    tool_call = {"name": "Calculator", "args": arguments, "id": f"call_{number}"}
    return AIMessage(content="", tool_calls=[tool_call])
