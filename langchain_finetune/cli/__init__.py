"""The command line: `langchain-finetune run | models | serve | stop | doctor`.

Exit codes: 0 done; 1 it failed, with one sentence on standard error; 2 the command is not right;
3 another engine runs on this home.
"""

from langchain_finetune.cli.app import main

__all__ = ["main"]
