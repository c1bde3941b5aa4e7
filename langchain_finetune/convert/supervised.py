"""A session as a supervised training example."""

from langchain_core.chat_sessions import ChatSession

from langchain_finetune.convert.checks import check_example
from langchain_finetune.convert.examples import Example
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import wire_messages

_LINE_SETTINGS = ("tools", "functions", "parallel_tool_calls")
"""What a line of OpenAI's supervised file may hold beside its messages."""


def supervised_example(session: ChatSession) -> tuple[Example, int]:
    """Return the training example of a session, and how many messages were left out of it.

    The example equals the request that the app sent (messages, tools, parallel_tool_calls) plus
    the message that came back. Messages after the last answer teach nothing and are left out.

    Raises:
        UnreadableChatError: A message holds what the wire form can't say, or the example breaks
            a rule of `checks`.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> supervised_example({"messages": [HumanMessage("Hi"), AIMessage("Hello")]})[0]
        ... # doctest: +NORMALIZE_WHITESPACE
        {'messages': [{'role': 'user', 'content': 'Hi'},
                      {'role': 'assistant', 'content': 'Hello'}]}
    """
    messages = wire_messages(session)
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    end = answers[-1] + 1 if answers else len(messages)
    example: Example = {"messages": messages[:end]}
    for setting in _LINE_SETTINGS:
        if session.get(setting):
            example[setting] = session[setting]  # type: ignore[literal-required]
        elif setting == "parallel_tool_calls" and session.get(setting) is False:
            example[setting] = False
    if "tools" not in example:
        # OpenAI refuses it where there are no tools.
        example.pop("parallel_tool_calls", None)
    for finding in check_example(example):
        place = "" if finding.index is None else f" (message {finding.index})"
        raise UnreadableChatError(finding.code, finding.message + place)
    return example, len(messages) - end
