"""Fine-tune a model of your own on the real chats of your LangChain app.

```python
from langchain_finetune import Convert, FineTune, LangSmithRunChatLoader

loader = LangSmithRunChatLoader(project_name="my-app")
model = (loader | Convert() | FineTune(model="nano", engine="local")).invoke({})
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_finetune.checks.finding import Finding, Findings
    from langchain_finetune.convert.check_file import FileCheck, check_file
    from langchain_finetune.convert.community_compat import convert_messages_for_finetuning
    from langchain_finetune.convert.contract import TrainedContract
    from langchain_finetune.convert.examples import Examples
    from langchain_finetune.convert.jsonl import WrittenFile
    from langchain_finetune.convert.report.conversion_report import ConversionReport
    from langchain_finetune.convert.runnable import Convert
    from langchain_finetune.convert.split import Split
    from langchain_finetune.engines import (
        AzureDeployment,
        FireworksDeployment,
        NebiusDeployment,
        TogetherDeployment,
    )
    from langchain_finetune.engines.jobs import (
        JobCheckpoint,
        JobEvent,
        JobProgress,
        JobStatus,
    )
    from langchain_finetune.errors import (
        BaseModelError,
        BudgetError,
        CompareError,
        ConvertError,
        DeployError,
        EngineAuthenticationError,
        EngineError,
        EngineUnreachableError,
        FineTuningError,
        GateError,
        GateWarning,
        InvalidArgumentError,
        JobCancelledError,
        JobError,
        JobFailedError,
        JobSubmissionError,
        JobTimeoutError,
        LoadError,
        MissingExtraError,
        ModelRetiredError,
        ModelRetirementWarning,
        TrainedContractWarning,
        TrainingNotAvailableError,
    )
    from langchain_finetune.evaluation.compare import Compare
    from langchain_finetune.evaluation.comparison import ComparisonResult
    from langchain_finetune.evaluation.evaluators import (
        answer_agreement,
        arguments_match,
        exact_match,
        length_ratio,
        normalized_text,
        refusal_match,
        tool_name_match,
        valid_json,
    )
    from langchain_finetune.evaluation.gate import Gate
    from langchain_finetune.finetune.callbacks import MetricsLogger, RichProgress, tensorboard_log
    from langchain_finetune.finetune.contract import trained_contract
    from langchain_finetune.finetune.job import Job
    from langchain_finetune.finetune.loss_curve import LossCurve
    from langchain_finetune.finetune.runnable import FineTune
    from langchain_finetune.loaders.datasets import LangSmithDatasetChatLoader
    from langchain_finetune.loaders.files import RunFileChatLoader
    from langchain_finetune.loaders.langfuse import LangfuseChatLoader
    from langchain_finetune.loaders.mlflow import MLflowChatLoader
    from langchain_finetune.loaders.openai_completions import StoredCompletionsChatLoader
    from langchain_finetune.loaders.opik import OpikChatLoader
    from langchain_finetune.loaders.phoenix import PhoenixChatLoader
    from langchain_finetune.loaders.query import FeedbackCondition, RunQuery
    from langchain_finetune.loaders.runs import LangSmithRunChatLoader
    from langchain_finetune.loaders.speakers import MapSpeaker, map_ai_messages, merge_chat_runs
    from langchain_finetune.loaders.threads import LangSmithThreadChatLoader
    from langchain_finetune.methods import Hyperparameters
    from langchain_finetune.migration.archive import (
        MissingItem,
        RescuedFile,
        RescuedModel,
        RescueManifest,
    )
    from langchain_finetune.migration.estimate import RecordingEstimate
    from langchain_finetune.migration.inventory import Inventory
    from langchain_finetune.migration.journal import AnswerUsage, RecordedAnswer
    from langchain_finetune.migration.listing import ModelCalls, TunedModel
    from langchain_finetune.migration.migrate import Migration, amigrate, migrate
    from langchain_finetune.migration.plan import MigrationPlan
    from langchain_finetune.migration.prices import InferencePrice
    from langchain_finetune.migration.progress import MigrationProgress
    from langchain_finetune.migration.prompts import RecordedPrompt
    from langchain_finetune.migration.record import arecord, record
    from langchain_finetune.migration.recorded_model import recorded_model
    from langchain_finetune.migration.recording import ModelRecording, RecordingManifest
    from langchain_finetune.migration.rescue import arescue, rescue
    from langchain_finetune.migration.result import MigrationResult
    from langchain_finetune.migration.sources import recent_runs
    from langchain_finetune.recorder import RunRecorder
    from langchain_finetune.rollout.chat_model import RolloutChatModel
    from langchain_finetune.sessions import FineTuningSession, Sessions, Skip

__all__ = [
    "AnswerUsage",
    "AzureDeployment",
    "BaseModelError",
    "BudgetError",
    "Compare",
    "CompareError",
    "ComparisonResult",
    "ConversionReport",
    "Convert",
    "ConvertError",
    "DeployError",
    "EngineAuthenticationError",
    "EngineError",
    "EngineUnreachableError",
    "Examples",
    "FeedbackCondition",
    "FileCheck",
    "Finding",
    "Findings",
    "FineTune",
    "FineTuningError",
    "FineTuningSession",
    "FireworksDeployment",
    "Gate",
    "GateError",
    "GateWarning",
    "Hyperparameters",
    "InferencePrice",
    "InvalidArgumentError",
    "Inventory",
    "Job",
    "JobCancelledError",
    "JobCheckpoint",
    "JobError",
    "JobEvent",
    "JobFailedError",
    "JobProgress",
    "JobStatus",
    "JobSubmissionError",
    "JobTimeoutError",
    "LangSmithDatasetChatLoader",
    "LangSmithRunChatLoader",
    "LangSmithThreadChatLoader",
    "LangfuseChatLoader",
    "LoadError",
    "LossCurve",
    "MLflowChatLoader",
    "MapSpeaker",
    "MetricsLogger",
    "Migration",
    "MigrationPlan",
    "MigrationProgress",
    "MigrationResult",
    "MissingExtraError",
    "MissingItem",
    "ModelCalls",
    "ModelRecording",
    "ModelRetiredError",
    "ModelRetirementWarning",
    "NebiusDeployment",
    "OpikChatLoader",
    "PhoenixChatLoader",
    "RecordedAnswer",
    "RecordedPrompt",
    "RecordingEstimate",
    "RecordingManifest",
    "RescueManifest",
    "RescuedFile",
    "RescuedModel",
    "RichProgress",
    "RolloutChatModel",
    "RunFileChatLoader",
    "RunQuery",
    "RunRecorder",
    "Sessions",
    "Skip",
    "Split",
    "StoredCompletionsChatLoader",
    "TogetherDeployment",
    "TrainedContract",
    "TrainedContractWarning",
    "TrainingNotAvailableError",
    "TunedModel",
    "WrittenFile",
    "amigrate",
    "answer_agreement",
    "arecord",
    "arescue",
    "arguments_match",
    "check_file",
    "convert_messages_for_finetuning",
    "exact_match",
    "length_ratio",
    "map_ai_messages",
    "merge_chat_runs",
    "migrate",
    "normalized_text",
    "recent_runs",
    "record",
    "recorded_model",
    "refusal_match",
    "rescue",
    "tensorboard_log",
    "tool_name_match",
    "trained_contract",
    "valid_json",
]

_EXPORTS = {
    "checks.finding": "Finding Findings",
    "convert.check_file": "FileCheck check_file",
    "convert.community_compat": "convert_messages_for_finetuning",
    "convert.contract": "TrainedContract",
    "convert.examples": "Examples",
    "convert.jsonl": "WrittenFile",
    "convert.report.conversion_report": "ConversionReport",
    "convert.runnable": "Convert",
    "convert.split": "Split",
    "engines": "AzureDeployment FireworksDeployment NebiusDeployment TogetherDeployment",
    "engines.jobs": "JobCheckpoint JobEvent JobProgress JobStatus",
    "errors": (
        "BaseModelError BudgetError CompareError ConvertError DeployError "
        "EngineAuthenticationError EngineError EngineUnreachableError FineTuningError GateError "
        "GateWarning InvalidArgumentError JobCancelledError JobError JobFailedError "
        "JobSubmissionError JobTimeoutError LoadError MissingExtraError ModelRetiredError "
        "ModelRetirementWarning TrainedContractWarning TrainingNotAvailableError"
    ),
    "evaluation.compare": "Compare",
    "evaluation.comparison": "ComparisonResult",
    "evaluation.evaluators": (
        "answer_agreement arguments_match exact_match length_ratio normalized_text refusal_match "
        "tool_name_match valid_json"
    ),
    "evaluation.gate": "Gate",
    "finetune.callbacks": "MetricsLogger RichProgress tensorboard_log",
    "finetune.contract": "trained_contract",
    "finetune.job": "Job",
    "finetune.loss_curve": "LossCurve",
    "finetune.runnable": "FineTune",
    "loaders.datasets": "LangSmithDatasetChatLoader",
    "loaders.files": "RunFileChatLoader",
    "loaders.langfuse": "LangfuseChatLoader",
    "loaders.mlflow": "MLflowChatLoader",
    "loaders.openai_completions": "StoredCompletionsChatLoader",
    "loaders.opik": "OpikChatLoader",
    "loaders.phoenix": "PhoenixChatLoader",
    "loaders.query": "FeedbackCondition RunQuery",
    "loaders.runs": "LangSmithRunChatLoader",
    "loaders.speakers": "MapSpeaker map_ai_messages merge_chat_runs",
    "loaders.threads": "LangSmithThreadChatLoader",
    "methods": "Hyperparameters",
    "migration.archive": "MissingItem RescueManifest RescuedFile RescuedModel",
    "migration.inventory": "Inventory",
    "migration.listing": "ModelCalls TunedModel",
    "migration.estimate": "RecordingEstimate",
    "migration.journal": "AnswerUsage RecordedAnswer",
    "migration.prices": "InferencePrice",
    "migration.progress": "MigrationProgress",
    "migration.prompts": "RecordedPrompt",
    "migration.record": "arecord record",
    "migration.recording": "ModelRecording RecordingManifest",
    "migration.rescue": "arescue rescue",
    "migration.sources": "recent_runs",
    "migration.migrate": "Migration amigrate migrate",
    "migration.plan": "MigrationPlan",
    "migration.recorded_model": "recorded_model",
    "migration.result": "MigrationResult",
    "recorder": "RunRecorder",
    "rollout.chat_model": "RolloutChatModel",
    "sessions": "FineTuningSession Sessions Skip",
}
"""Public names by module, imported on first use: the embedded engine and its training processes
import this package too, and do not need LangChain or openai."""

_PLACES = {name: module for module, names in _EXPORTS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]
