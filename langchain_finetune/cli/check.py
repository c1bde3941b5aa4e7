"""`check`: training files that are there already."""

from typing import Annotated, Any

import typer

from langchain_finetune.checks import RulesName
from langchain_finetune.checks.file import FileCheck, check_file
from langchain_finetune.cli.output import AsJson, print_json
from langchain_finetune.methods import LineKind


def check(
    files: Annotated[list[str], typer.Argument(help="Training files, a JSON object a line.")],
    rules: Annotated[RulesName, typer.Option(help="Whose rules.")] = "openai",
    method: Annotated[LineKind, typer.Option(help="What the lines hold.")] = "supervised",
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Check training files; exit code 1 if a provider would refuse one. No text is shown."""
    checked = [check_file(file, rules, method) for file in files]
    if as_json:
        print_json([_said(each) for each in checked])
    else:
        for each in checked:
            _tell(each)
    if not all(each.ok for each in checked):
        raise typer.Exit(1)


def _tell(checked: FileCheck) -> None:
    for finding in checked.findings:
        typer.echo(f"{checked.path}: {finding.severity}: {finding}")
    errors = checked.findings.errors.total()
    warnings = checked.findings.warnings.total()
    more = errors + warnings - len(checked.findings)
    typer.echo(
        f"{checked.path}: {checked.examples} examples, {checked.rejected} of them faulty; "
        f"{errors} errors, {warnings} warnings{f', {more} of them not shown' if more else ''}."
    )


def _said(checked: FileCheck) -> dict[str, Any]:
    found = checked.findings
    return {
        "file": str(checked.path),
        "ok": checked.ok,
        "examples": checked.examples,
        "faulty": checked.rejected,
        "bytes": checked.size,
        "errors": dict(found.errors),
        "warnings": dict(found.warnings),
        "findings": [
            {
                "row": each.row,
                "message": each.index,
                "severity": each.severity,
                "code": each.code,
                "said": each.message,
            }
            for each in found
        ],
    }
