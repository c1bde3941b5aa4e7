"""The figures of a report: numbers and ids, independent of their display."""

from pydantic import BaseModel, ConfigDict, Field

from langchain_finetune.convert.estimate import Estimate
from langchain_finetune.convert.power import EvaluationPower
from langchain_finetune.convert.report.distribution import Distribution
from langchain_finetune.convert.report.outliers import Outlier


class ToolUse(BaseModel):
    """Use of a tool.

    Attributes:
        name: The tool.
        offered: Number of examples that offer it.
        called: Number of calls, in requests and answers.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    offered: int
    called: int


class FindingCounts(BaseModel):
    """Findings by code: `errors`, `warnings`, and errors that were `fixed`."""

    model_config = ConfigDict(frozen=True)

    errors: dict[str, int]
    warnings: dict[str, int]
    fixed: dict[str, int]


class ReportFigures(BaseModel):
    """Figures of a conversion: numbers and ids, without text unless requested.

    Attributes:
        engine: The engine, if known.
        model: The base model, if known.
        sessions: Number of chats in the input, including those that the loader skipped.
        kept: Number of examples.
        parts: Number of examples by part: train, validation and test.
        evaluation: What the test part can show in a comparison; None without such a part.
        skipped: Number of chats without an example by reason, most frequent first.
        meanings: A sentence by code, for reasons and warnings.
        notes: Other counts by code; see `Examples.notes`.
        tokens: Tokens per example.
        tokens_counted: Share of the examples whose tokens were counted by a tokenizer; for the
            rest they are estimated as a quarter of the bytes.
        target_tokens: Number of tokens that are trained on; None if they were not counted.
        messages: Messages per example.
        targets: Number of assistant messages that are trained on.
        calls_to_learn: Number of those that call a tool.
        repeated_calls: Number of the latter that an earlier example of the same trace trains, too,
            as agents send their history again with each call.
        tools: The tools, most called first.
        scripts: Number of examples mostly in each script, such as `Latin`, in the messages of users
            and the assistant, without instructions and tool results.
        also_scripts: Number of examples with at least one letter of each script.
        duplicates: Number of duplicate chats by code.
        findings: Findings in all chats by code.
        estimates: Estimates of training, first for the report's engine.
        outliers: The most unusual examples, the most unusual first; see `Outlier`.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    engine: str | None
    model: str | None
    sessions: int
    kept: int
    parts: dict[str, int]
    evaluation: EvaluationPower | None = None
    skipped: dict[str, int]
    meanings: dict[str, str] = Field(default_factory=dict)
    notes: dict[str, int]
    tokens: Distribution
    tokens_counted: float
    target_tokens: int | None
    messages: Distribution
    targets: int
    calls_to_learn: int
    repeated_calls: int = 0
    tools: list[ToolUse]
    scripts: dict[str, int]
    also_scripts: dict[str, int]
    duplicates: dict[str, int]
    findings: FindingCounts
    estimates: list[Estimate]
    outliers: list[Outlier]
