"""Fine-tuning chains over HTTP with LangServe: `add_finetune_routes` and `FineTuneSerializer`.

Requires the extra `langserve`. The names in `__all__` are public.
"""

from langchain_finetune.errors import MissingExtraError
from langchain_finetune.extras import missing_extra

try:
    from langchain_finetune.langserve.routes import add_finetune_routes
    from langchain_finetune.langserve.serializer import FineTuneSerializer
except ModuleNotFoundError as error:
    if (error.name or "").startswith("langchain_finetune"):
        raise
    raise MissingExtraError(missing_extra("langchain_finetune.langserve", "langserve")) from error

__all__ = ["FineTuneSerializer", "add_finetune_routes"]
