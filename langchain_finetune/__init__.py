"""Turn the chats your LangChain app really had into a fine-tuned model of your own.

```python
from langchain_finetune import Convert, FineTune, LangSmithRunChatLoader

loader = LangSmithRunChatLoader(project_name="my-app")
model = (loader | Convert() | FineTune(model="nano", engine="local")).invoke({})
```
"""

from langchain_finetune.convert.examples import Examples, WrittenFile
from langchain_finetune.convert.messages_only import convert_messages_for_finetuning
from langchain_finetune.convert.runnable import Convert
from langchain_finetune.errors import (
    BaseModelError,
    ConvertError,
    EngineAuthenticationError,
    EngineError,
    EngineUnreachableError,
    FineTuningError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobTimeoutError,
    LoadError,
)
from langchain_finetune.finetune.job import Hyperparameters
from langchain_finetune.finetune.progress import RichProgress
from langchain_finetune.finetune.runnable import FineTune
from langchain_finetune.loaders.datasets import LangSmithDatasetChatLoader
from langchain_finetune.loaders.query import FeedbackCondition, RunQuery
from langchain_finetune.loaders.runs import LangSmithRunChatLoader
from langchain_finetune.loaders.threads import LangSmithThreadChatLoader
from langchain_finetune.sessions import FineTuningSession, Sessions, Skip

__all__ = [
    "BaseModelError",
    "Convert",
    "ConvertError",
    "EngineAuthenticationError",
    "EngineError",
    "EngineUnreachableError",
    "Examples",
    "FeedbackCondition",
    "FineTune",
    "FineTuningError",
    "FineTuningSession",
    "Hyperparameters",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "JobTimeoutError",
    "LangSmithDatasetChatLoader",
    "LangSmithRunChatLoader",
    "LangSmithThreadChatLoader",
    "LoadError",
    "RichProgress",
    "RunQuery",
    "Sessions",
    "Skip",
    "WrittenFile",
    "convert_messages_for_finetuning",
]
