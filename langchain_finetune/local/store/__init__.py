"""A run store that speaks LangSmith's API, so that any app can trace into this machine.

Point an app at it with `LANGSMITH_ENDPOINT=http://127.0.0.1:<port>`; read it back with the
`langsmith` client. What it does not have answers 404.
"""

from langchain_finetune.local.store.retention import Limits
from langchain_finetune.local.store.routes import create_store_router
from langchain_finetune.local.store.store import RunStore

__all__ = ["Limits", "RunStore", "create_store_router"]
