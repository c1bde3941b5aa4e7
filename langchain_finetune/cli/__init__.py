"""The command line, `langchain-finetune`; with `--json`, commands print JSON.

Exit codes:

- 0: success.
- 1: failure, with an error message on standard error: no training examples are left, an engine
  refused a request, or the awaited job did not produce a model. Also: `check` found errors, or
  a check of `doctor` failed.
- 2: invalid command line.
- 3: another engine is running on this home (`serve`).

Internal: programs may use the command and `--json`.
"""

from langchain_finetune.cli.app import main

__all__ = ["main"]
