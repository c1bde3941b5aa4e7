"""The form that corrects an answer."""

import json
from typing import Any, Self
from uuid import uuid4

from pydantic import BaseModel

from langchain_finetune.content import mapping
from langchain_finetune.local.page.messages import Message, as_json, read_message


class FormFaultError(Exception):
    """A field of a form is not right; the message says what, without quoting it."""


class CorrectionForm(BaseModel):
    """What the answer should have been.

    Attributes:
        text: Its text.
        calls: Its tool calls, JSON such as `[{"name": "f", "arguments": {"x": 1}}]`, or "".
        undo: Whether the correction is to be taken back.
    """

    text: str = ""
    calls: str = ""
    undo: bool = False

    @classmethod
    def of_answer(cls, kept: Any, answers: list[Message]) -> Self:
        """Return the form as it opens: with the correction that is kept, or with the answer."""
        answer = read_message(kept) if kept is not None else answers[0] if answers else None
        if answer is None:
            return cls()
        calls = [
            {"name": call.name, "arguments": _parsed(call.arguments), "id": call.id}
            for call in answer.calls
        ]
        return cls(text=answer.text, calls=as_json(calls) if calls else "")

    def answer(self) -> dict[str, Any]:
        """Return the correct answer as a message of OpenAI's form.

        Raises:
            FormFaultError: It is empty, or its calls are malformed.
        """
        # Forms send line breaks as two characters.
        text = self.text.replace("\r\n", "\n").strip()
        calls = self._calls()
        if not text and not calls:
            raise FormFaultError("A correct answer needs a text, or calls of tools.")
        answer: dict[str, Any] = {"role": "assistant", "content": text or None}
        return answer | ({"tool_calls": calls} if calls else {})

    def _calls(self) -> list[dict[str, Any]]:
        if not self.calls.strip():
            return []
        try:
            given = json.loads(self.calls)
        except (ValueError, RecursionError):
            raise FormFaultError("The calls of tools are no JSON.") from None
        if not isinstance(given, list):
            raise FormFaultError("The calls of tools must be a list.")
        calls = []
        for each in given:
            name, arguments = mapping(each).get("name"), mapping(each).get("arguments")
            if not isinstance(name, str) or not isinstance(arguments, dict):
                raise FormFaultError(
                    "Each call needs a name, and arguments that are a JSON object."
                )
            function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
            call_id = each.get("id")
            if not isinstance(call_id, str):
                call_id = f"call_{uuid4().hex[:12]}"
            calls.append({"id": call_id, "type": "function", "function": function})
        return calls


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
