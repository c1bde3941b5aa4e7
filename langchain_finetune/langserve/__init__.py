"""Fine-tuning chains over HTTP with LangServe: `add_finetune_routes` and `FineTuneSerializer`.

<<<<<<< HEAD
<<<<<<< HEAD
Needs the extra `langserve`. Public are the names in `__all__`.
=======
Requires the extra `langserve`.
>>>>>>> main
=======
Requires the extra `langserve`. The names in `__all__` are public.
>>>>>>> main
"""

from langchain_finetune.langserve.routes import add_finetune_routes
from langchain_finetune.langserve.serializer import FineTuneSerializer

__all__ = ["FineTuneSerializer", "add_finetune_routes"]
