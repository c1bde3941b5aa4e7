"""A run store that speaks LangSmith's API, so that any app can trace into this machine.

Point an app at it with `LANGSMITH_ENDPOINT=http://127.0.0.1:<port>`; read it back with the
`langsmith` client. What it does not have answers 404 with one sentence:

- sharing with the public (`share_run`, `share_dataset`, `clone_public_dataset`, ...)
- the hub of prompts, agents and skills (`pull_prompt`, `push_prompt`, `list_skills`, ...)
- LangSmith's own judgements (insights, issues, online evaluators) and costs
- `upsert_examples_multipart` and `get_experiment_results`, which LangSmith deprecates
- of the newer resources: statistics of threads, threads in annotation queues

`tests/local/store/test_sdk_methods.py` holds the list against the client's methods.
"""

from langchain_finetune.local.store.retention import Limits
from langchain_finetune.local.store.routes.router import create_store_router
from langchain_finetune.local.store.store import NO_LIMITS, RunStore

__all__ = ["NO_LIMITS", "Limits", "RunStore", "create_store_router"]
