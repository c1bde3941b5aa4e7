"""What makes an example fit for training, as each provider sees it.

The same rules run before an upload (`Convert`, `check_file`) and in the embedded engine, so all
say the same. A fault is an **error** where the provider refuses it or where it would teach the
model something wrong; the example is rejected. It is a **warning** where the provider takes it:
the example is kept and the fault is told. So arguments that break their tool's schema are an
error in a turn that is trained, and a warning in one with `weight: 0`, which is only read.

Real chats are full of oddities that providers accept. A rule is an error only with a source; see
`profiles`.
"""

from langchain_finetune.checks.example import check_example, errors_of
from langchain_finetune.checks.file import MIN_EXAMPLES, check_lines, check_size, parse_line
from langchain_finetune.checks.finding import Finding, Findings, Severity
from langchain_finetune.checks.methods import CHECKS
from langchain_finetune.checks.profiles import LOCAL, OPENAI, PROFILES, Profile, RulesName

__all__ = [
    "CHECKS",
    "LOCAL",
    "MIN_EXAMPLES",
    "OPENAI",
    "PROFILES",
    "Finding",
    "Findings",
    "Profile",
    "RulesName",
    "Severity",
    "check_example",
    "check_lines",
    "check_size",
    "errors_of",
    "parse_line",
]
