"""The command line, `langchain-finetune`; with `--json`, commands print JSON.

Exit codes:

- 0: success.
- 1: failure, with an error message on standard error: no training examples are left, an engine
  refused a request, or the awaited job did not produce a model. Also: `check` found errors, a
  check of `doctor` failed, or a job that has ended cannot be paused, resumed or cancelled.
- 2: invalid command line; and an error of `compare` and `migrate`, where 1 is a verdict.
- 3: another engine is running on this home (`serve`).
- 4: too few cases (`compare`, `migrate`).

Internal: programs may use the command and `--json`.
"""

from langchain_finetune.cli.start import main

__all__ = ["main"]
