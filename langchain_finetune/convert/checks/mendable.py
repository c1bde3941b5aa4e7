"""Which rules have a safe mend, and what it does; `mends` carries it out."""

from collections.abc import Mapping

MENDABLE: Mapping[str, str] = {
    "arguments_against_schema": "The turn becomes history (weight 0).",
    "duplicate_call_id": "The calls get ids of their own.",
    "empty_functions": "The empty list is left out.",
    "empty_target": "The turn becomes history (weight 0).",
    "empty_tool_calls": "The empty list is left out.",
    "empty_tools": "The empty list is left out.",
    "invalid_arguments": "Missing arguments become {}.",
    "invalid_call_name": "Spaces around the name are left out.",
    "invalid_name": "_ takes the place of what is not allowed.",
    "invalid_unicode": "Halves are joined, or become U+FFFD.",
    "invalid_weight": "true is 1 and false is 0.",
    "no_content": "An empty instruction is left out.",
    "no_final_answer": "Messages after the last answer are left out.",
    "parallel_without_tools": "It is left out.",
    "tool_not_offered": (
        "Spaces around the name are left out, or the turn becomes history (weight 0)."
    ),
    "unknown_role": "developer becomes system.",
    "untyped_call": '"type": "function" is added.',
    "untyped_tool": '"type": "function" is added.',
    "weight_outside_assistant": "It is left out.",
}
"""What `Convert(mend=True)` does about an error of each code."""
