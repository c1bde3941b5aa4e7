"""The command line, `langchain-finetune`; `--json` makes every command that tells print JSON.

Exit codes:

- 0: done.
- 1: it failed, with one sentence on standard error: nothing is left to train on, an engine
  refuses, the job that was waited for gave no model. Also: `check` found errors, or `doctor`
  found what is not right.
- 2: the command is not right.
- 3: another engine runs on this home (`serve`).

Internal: what programs may call is the command and `--json`.
"""

from langchain_finetune.cli.app import main

__all__ = ["main"]
