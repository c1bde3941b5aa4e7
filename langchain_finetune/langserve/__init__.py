"""Fine-tuning chains over HTTP, by LangServe: `add_finetune_routes` and `FineTuneSerializer`.

Needs the extra `langserve`. Public are the names in `__all__`.
"""

from langchain_finetune.langserve.routes import add_finetune_routes
from langchain_finetune.langserve.serializer import FineTuneSerializer

__all__ = ["FineTuneSerializer", "add_finetune_routes"]
