"""Fine-tuning chains over HTTP with LangServe: `add_finetune_routes` and `FineTuneSerializer`.

Requires the extra `langserve`. The names in `__all__` are public.
"""

from langchain_finetune.langserve.routes import add_finetune_routes
from langchain_finetune.langserve.serializer import FineTuneSerializer

__all__ = ["FineTuneSerializer", "add_finetune_routes"]
