"""The figures of a report: numbers and ids, without how they are shown."""

from pydantic import BaseModel, ConfigDict

from langchain_finetune.convert.estimate import Estimate
from langchain_finetune.convert.report.distribution import Distribution
from langchain_finetune.convert.report.outliers import Outlier


class ToolUse(BaseModel):
    """How a tool is used.

    Attributes:
        name: The tool.
        offered: In how many examples it may be called.
        called: How often it is called, in requests and answers.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    offered: int
    called: int


class FindingCounts(BaseModel):
    """What the checks found, by code: `errors`, `warnings`, and errors that were `fixed`."""

    model_config = ConfigDict(frozen=True)

    errors: dict[str, int]
    warnings: dict[str, int]
    fixed: dict[str, int]


class ReportFigures(BaseModel):
    """What a conversion came to: numbers and ids only, and no text unless it was asked for.

    Attributes:
        engine: The engine that it is for, if it is known.
        model: The base that it is for.
        sessions: Chats that came in, with those that the loader left out.
        kept: Examples that were made.
        parts: How many of them train, validate and test.
        skipped: Chats that make no example, by reason, most frequent first.
        notes: What else was noticed, by code; see `Examples.notes`.
        tokens: Tokens of an example.
        tokens_counted: Share of the examples whose tokens were counted by a tokenizer; those of
            the rest are estimated as a quarter of their bytes.
        target_tokens: How many of all tokens are learnt from; None where they were not counted.
        messages: Messages of an example.
        targets: Assistant messages that are learnt from.
        calls_to_learn: How many of those call a tool.
        tools: The tools, the one most called first.
        scripts: How many examples are mostly in each script, such as `Latin`, as users and the
            assistant write: instructions and tools' results are left aside.
        also_scripts: How many have at least a letter of it.
        duplicates: Chats that were found to be duplicates, by code.
        findings: What the checks found in all chats, each code counted.
        estimates: What training would take: first at the engine that the report is for.
        outliers: The most unusual examples, the most unusual first; see `Outlier`.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    engine: str | None
    model: str | None
    sessions: int
    kept: int
    parts: dict[str, int]
    skipped: dict[str, int]
    notes: dict[str, int]
    tokens: Distribution
    tokens_counted: float
    target_tokens: int | None
    messages: Distribution
    targets: int
    calls_to_learn: int
    tools: list[ToolUse]
    scripts: dict[str, int]
    also_scripts: dict[str, int]
    duplicates: dict[str, int]
    findings: FindingCounts
    estimates: list[Estimate]
    outliers: list[Outlier]
