"""What to do about chats that were left out, and what the notes of a conversion mean."""

from collections.abc import Mapping

from langchain_finetune.checks.finding import FIXES_BY_CODE

_ELSEWHERE = "The ids are in `rejected`: look at one, and mend it where it comes from."
_OF_RUNS = "Trace the call of the model itself: other runs hold no answer of a model."
_LINES = "Mend the line: `rejected` has its place in the file."
_FORMAT = "The ids are in `rejected`. If apps usually store chats this way, please report it."
_SCHEMA = "Pass the schema to the model as a dictionary, which traces hold whole."
_SCORES = (
    "Scores come from feedback: on the command line with --query and a file such as"
    ' {"project_name": "app", "feedback": {"key": "user_score", "use_score": true}}; in Python with'
    ' the same feedback= of a loader, or with RunFileChatLoader(path, score="user_score").'
)
_OTHER_CALLS = "Load whole traces: an agent's step was cut off before its tools answered."

_REMEDIES: Mapping[str, str] = {
    "broken_line": _LINES,
    "builtin_tool_call": "Give the app a function of its own in place of the provider's tool.",
    "chat": "Nothing needs doing; or choose the method that the reason names.",
    "completion_run": "Convert such runs by themselves.",
    "contaminated": "Nothing needs doing: it would give away answers of the test part.",
    "duplicate": "Nothing needs doing: another example teaches the same.",
    "errored_run": "Nothing needs doing: there is no answer to learn from.",
    "folded": "Nothing needs doing: another example contains it.",
    "hidden_content": "Let the tracer record inputs and outputs of runs to learn from.",
    "hidden_history": "Let the app send the whole conversation, or load whole threads.",
    "incomplete_trace": "Trace with LangChain or LangSmith: this tracer leaves parts out.",
    "internal_call": "To learn from such calls too, use --internal-calls.",
    "invalid_score": "Let the function that scores return a number, or None to leave a chat out.",
    "joined_completions": "Load the runs themselves: each then is a prompt and a completion.",
    "length_unknown": "Put the base model on this machine, so that its tokens can be counted.",
    "line_too_long": _LINES,
    "malformed": _FORMAT,
    "nested_too_deep": _FORMAT,
    "no_answer": "Nothing needs doing: there is no answer to learn from.",
    "no_assistant_message": "Nothing needs doing: there is no answer to learn from.",
    "no_chat": _OF_RUNS,
    "no_outputs": _OF_RUNS,
    "no_pair": _SCORES,
    "no_prompt": _OF_RUNS,
    "no_run": "Take runs of a store, of a file, or of a recorder.",
    "no_thumb": _SCORES,
    "not_an_llm_run": _OF_RUNS,
    "not_utf8": _LINES,
    "pending_run": "Load it again once it has ended.",
    "special_token": "Take the token out of the text, or train a base that has no such one.",
    "too_long": 'Convert(too_long="drop_oldest") shortens chats; some bases take longer ones.',
    "truncated_answer": 'Raise the token limit of the app; Convert(truncated="keep") keeps them.',
    "unanswered_tool_call": _OTHER_CALLS,
    "unasked_tool_result": _OTHER_CALLS,
    "unknown_message_type": _FORMAT,
    "unknown_response_format": _SCHEMA,
    "unknown_run": "Check the id, and that LANGSMITH_ENDPOINT and the key are those of its store.",
    "unread_setting": _FORMAT,
    "unreadable_correction": "Correct it again, with a text or with calls of tools.",
    "unreadable_json": _LINES,
    "unreadable_message": _FORMAT,
    "unreadable_value": _FORMAT,
    "unsupported_call": _FORMAT,
    "unsupported_content": _FORMAT,
    "unsupported_response_format": _SCHEMA,
    "unsupported_tools": "Give the app functions of its own in place of the provider's tools.",
}

_NOTES: Mapping[str, str] = {
    "desirable": "Chats to learn from.",
    "dropped_reasoning": 'Thoughts are not learned; reasoning="keep" of the loader keeps them.',
    "dropped_turns": 'Turns that too_long="drop_oldest" left out.',
    "duplicates": 'Chats that came before; Convert(duplicates="drop_exact") leaves them out.',
    "not_an_llm_run": "Runs of chains and tools: their model calls are read, and no chat is lost.",
    "redacted": "Chats of which `redact` took something out.",
    "response_format_left_out": (
        "The engine takes none, or the trace lacks its schema; `trained_contract` keeps it."
    ),
    "shortened": 'Chats that too_long="drop_oldest" shortened.',
    "split_by_repetition": "Chats whose part was chosen by their text, which others repeat.",
    "split_by_request": "Chats without a thread or trace: their request chose their part.",
    "tools_unknown": "The store does not say which tools were offered: they are not in the line.",
    "trimmed_messages": "Messages after the last answer, or after the judged one.",
    "undesirable": "Chats to learn not to answer like.",
}


def remedy(code: str, *, of_warning: bool = False) -> str:
    """Return what to do about chats that were left out; of warnings only what is known.

    Example:
        >>> remedy("pending_run"), remedy("empty_tools")
        ('Load it again once it has ended.', 'With Convert(fix=True): The empty list is removed.')
    """
    if fix := FIXES_BY_CODE.get(code):
        return f"With Convert(fix=True): {fix}"
    return _REMEDIES.get(code, "" if of_warning else _ELSEWHERE)


def meaning_of_note(code: str) -> str:
    """Return what a note counts; "" if its name says it.

    Example:
        >>> meaning_of_note("fixed.empty_tools")
        'The empty list is removed.'
    """
    kind, _, what = code.partition(".")
    if kind == "fixed":
        return FIXES_BY_CODE.get(what, "")
    if kind == "left_out":
        return "The engine does not take it; `trained_contract` keeps it."
    if kind == "secrets":
        return 'Convert(secrets="redact") takes them out, "reject" leaves the chats out.'
    return _NOTES.get(code, "")
