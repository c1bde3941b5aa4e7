"""A run's request as the playground's state, so that other models can be asked the same."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.conversation import Column, Playground
from langchain_finetune.local.page.traced import traced_chat
from langchain_finetune.local.page.wire_messages import Manner, NoExampleError, wire_message


def run_prompt(row: Mapping[str, Any], models: Sequence[str]) -> Playground:
    """Return the playground with what a run sent to its model; the last question is still to send.

    Args:
        row: The run's row, with `inputs`, `outputs` and `extra` as JSON.
        models: Who is to be asked.

    Raises:
        ApiError: 400 where the run holds no chat.
    """
    chat = traced_chat(row)
    if chat is None:
        raise ApiError(400, "This run holds no chat that the playground can go on with.")
    try:
        messages = [wire_message(message, Manner()) for message in chat.sent]
    except NoExampleError as error:
        raise ApiError(400, f"The playground can't go on with this run: {error}.") from None
    system = message = ""
    first = messages[0] if messages else {"role": ""}
    if first["role"] in {"system", "developer"} and isinstance(first["content"], str):
        system = messages.pop(0)["content"]
    if messages and messages[-1]["role"] == "user" and isinstance(messages[-1]["content"], str):
        message = messages.pop()["content"]
    tools = chat.settings.get("tools")
    return Playground(
        [Column(model, deepcopy(messages)) for model in models],
        system=system,
        tools=json.dumps(tools, ensure_ascii=False, indent=2) if tools else "",
        message=message,
    )
