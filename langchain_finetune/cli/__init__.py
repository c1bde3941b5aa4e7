"""The command line, `langchain-finetune`; with `--json`, commands print JSON.

Exit codes:

<<<<<<< HEAD
<<<<<<< HEAD
- 0: done.
- 1: it failed, with one sentence on standard error: nothing is left to train on, an engine
  refuses, the job that was waited for gave no model. Also: `check` found errors, or `doctor`
  found what is not right.
- 2: the command is not right.
- 3: another engine runs on this home (`serve`).

Internal: what programs may call is the command and `--json`.
=======
=======
>>>>>>> main
- 0: success.
- 1: failure, with an error message on standard error: no training examples are left, an engine
  refused a request, or the awaited job did not produce a model. Also: `check` found errors, or
  a check of `doctor` failed.
- 2: invalid command line.
- 3: another engine is running on this home (`serve`).
<<<<<<< HEAD
>>>>>>> main
=======

Internal: programs may use the command and `--json`.
>>>>>>> main
"""

from langchain_finetune.cli.app import main

__all__ = ["main"]
