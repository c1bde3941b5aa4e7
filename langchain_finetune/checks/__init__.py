"""Checks of training examples against each provider's rules.

The same rules are applied before an upload (`Convert`, `check_file`) and in the embedded engine.
A finding is an **error** if the provider refuses the example or the model would learn something
wrong; the example is rejected. It is a **warning** if the provider accepts the example; it is kept
and the finding is reported. So arguments that violate their tool's schema are an error in a turn
that is trained on, and a warning in one with `weight: 0`, which is only context.

Real chats are full of oddities that providers accept. A rule is an error only with a source; see
`profiles`.

Internal: `langchain_finetune` exports what is public.
"""

from langchain_finetune.checks.example import check_example, errors_of
from langchain_finetune.checks.file import check_lines, check_size, parse_line
from langchain_finetune.checks.finding import Finding, Findings, Severity
from langchain_finetune.checks.methods import CHECKS
from langchain_finetune.checks.profiles import LOCAL, OPENAI, Profile

__all__ = [
    "CHECKS",
    "LOCAL",
    "OPENAI",
    "Finding",
    "Findings",
    "Profile",
    "Severity",
    "check_example",
    "check_lines",
    "check_size",
    "errors_of",
    "parse_line",
]
