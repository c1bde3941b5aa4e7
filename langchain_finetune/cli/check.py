"""`check`: checks existing training files."""

from typing import Annotated, Any

import typer

from langchain_finetune.cli.options import EngineChoice
from langchain_finetune.cli.output import AsJson, print_json, print_line
from langchain_finetune.convert.check_file import FileCheck, check_file
from langchain_finetune.display.text import counted
from langchain_finetune.methods import LineKind


def check(
    files: Annotated[list[str], typer.Argument(help="Training files (JSONL).")],
    rules: Annotated[EngineChoice, typer.Option(help="Provider whose rules apply.")] = "openai",
    method: Annotated[
        LineKind, typer.Option(help="Training method of the examples.")
    ] = "supervised",
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Check training files, without printing their text. Exits with 1 if a file has errors."""
    results = [check_file(file, rules, method) for file in files]
    if as_json:
        print_json([_as_json(each) for each in results])
    else:
        for each in results:
            _print(each)
    if not all(each.ok for each in results):
        raise typer.Exit(1)


def _print(result: FileCheck) -> None:
    for finding in result.findings:
        print_line(f"{result.path}: {finding.severity}: {finding}")
    errors = result.findings.errors.total()
    warnings = result.findings.warnings.total()
    more = errors + warnings - len(result.findings)
    print_line(
        f"{result.path}: {counted(result.examples, 'example')}, {result.rejected:,} with errors; "
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        f"{f' ({more:,} not listed)' if more else ''}."
    )


def _as_json(result: FileCheck) -> dict[str, Any]:
    findings = result.findings
    return {
        "file": str(result.path),
        "ok": result.ok,
        "examples": result.examples,
        "invalid": result.rejected,
        "bytes": result.size,
        "errors": dict(findings.errors),
        "warnings": dict(findings.warnings),
        "findings": [
            {
                "row": each.row,
                "message": each.index,
                "severity": each.severity,
                "code": each.code,
                "detail": each.message,
            }
            for each in findings
        ],
    }
