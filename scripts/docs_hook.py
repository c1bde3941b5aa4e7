"""What MkDocs fills in from the code: tables of the reference, and pages that lie elsewhere.

A line `<!-- generated: NAME -->` in a page is replaced by what the function of that name in
`GENERATED` writes. `mkdocs.yml` names this file as a hook; tests call its functions.
"""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import langchain_finetune
from langchain_finetune.cli.app import COMMANDS
from langchain_finetune.cli.lazy_command import loaded
from langchain_finetune.engines import ENGINES, all_engines
from langchain_finetune.methods import Hyperparameters, LineKind, method_of

ROOT = Path(__file__).parents[1]
PACKAGE = Path(langchain_finetune.__file__).parent
ELSEWHERE = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages of the site that lie at the root of the repository."""

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie at the root."""
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page by what is generated."""
    return _MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)


class PackageDocs(griffe.Extension):
    """Show what Griffe alone does not: examples as code, and arguments of pydantic's models."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Let a docstring's `Example:` begin a section of examples, as `Examples:` does."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Give the `__init__` of each model its fields as arguments."""
        for module in (pkg, *_submodules(pkg)):
            for cls in module.classes.values():
                if not cls.is_alias:
                    _add_fields(cls)


def _submodules(module: griffe.Module) -> Iterator[griffe.Module]:
    for each in module.modules.values():
        if not each.is_alias:
            yield each
            yield from _submodules(each)


def _add_fields(cls: griffe.Class) -> None:
    kind = resolve_name(cls.path)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return
    written = {
        name: attribute.annotation
        for base in reversed([cls, *cls.mro()])
        for name, attribute in base.attributes.items()
    }
    itself = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    own = cls.members.get("__init__")
    given = list(own.parameters) if isinstance(own, griffe.Function) else [itself]
    last = [each for each in given if each.kind is griffe.ParameterKind.var_keyword]
    if own is not None and not last:
        return
    fields = [
        griffe.Parameter(
            name,
            annotation=written[name],
            kind=griffe.ParameterKind.keyword_only,
            default=_default(field),
        )
        for name, field in kind.model_fields.items()
        if name in written and name not in {each.name for each in given}
    ]
    first = [each for each in given if each not in last]
    init = griffe.Function("__init__", parameters=griffe.Parameters(*first, *fields, *last))
    cls.set_member("__init__", init)


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    if isinstance(field.default, BaseModel):
        return f"{type(field.default).__name__}()"
    return "..." if field.default_factory else repr(field.default)


def command_line() -> str:
    """Return a section for each command, with its options as the program has them."""
    return "\n".join(_sections(loaded(COMMANDS), "langchain-finetune"))


def _sections(commands: dict[str, Any], path: str) -> Iterator[str]:
    for name, command in commands.items():
        called = f"{path} {name}"
        yield f"## {called.removeprefix('langchain-finetune ')}\n"
        yield f"{inspect.cleandoc(command.help or '')}\n"
        if hasattr(command, "commands"):
            for line in _sections(command.commands, called):
                yield line.replace("## ", "### ", 1) if line.startswith("## ") else line
            continue
        context = command.context_class(command, info_name=called)
        arguments = []
        panels: dict[str, list[tuple[str, ...]]] = {}
        for each in command.params:
            written, text = each.get_help_record(context)
            panel = each.rich_help_panel or "Option"
            if each.param_type_name == "argument":
                panel, written = "Argument", written.partition(" ")[0].upper()
                arguments.append(written)
            panels.setdefault(panel, []).append(_option(written, text))
        yield "```text\n" + " ".join([called, "[OPTIONS]", *arguments]) + "\n```\n"
        for panel, rows in panels.items():
            yield table((panel, "What it does", "Default, bounds"), rows)


def _option(written: str, text: str) -> tuple[str, ...]:
    """Return a row of the table, from the lines that `--help` prints."""
    written = re.sub(r"<list\[(\w+)\]>", r"<\1>, repeatable", written).replace(" range>", ">")
    name, _, repeatable = written.partition(", repeatable")
    more = ", repeatable" if written.endswith(", repeatable") else repeatable
    said, _, bounds = text.partition("[") if text.endswith("]") else (text, "", "")
    return _code(name) + more, said, bounds.removesuffix("]")


def hyperparameters() -> str:
    """Return the table of the hyperparameters, with the values that each may have."""
    schema = Hyperparameters.model_json_schema()["properties"]
    rows = [
        (_code(name), _values(schema[name]), field.description)
        for name, field in Hyperparameters.model_fields.items()
    ]
    return table(("Hyperparameter", "Values", "What it does"), rows)


def _values(schema: dict[str, Any]) -> str:
    return " or ".join(_value(each) for each in schema.get("anyOf", [schema]))


_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _value(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return _code(str(schema["const"]))
    if "enum" in schema:
        return ", ".join(_code(str(each)) for each in schema["enum"])
    if schema.get("type") == "array":
        return "a list of " + schema.get("items", {}).get("type", "value") + "s"
    bounds = [f"{word} {schema[key]:g}" for key, word in _BOUNDS.items() if key in schema]
    return ", ".join([schema.get("type", "any value"), *bounds])


def environment() -> str:
    """Return the table of the package's own variables, from constants and their docstrings."""
    rows = [(_code(name), text) for name, text in sorted(variables().items())]
    return table(("Variable", "What it holds"), rows)


def variables() -> dict[str, str]:
    """Return what each variable holds: the docstring below the constant that names it.

    Raises:
        ValueError: A constant `..._VARIABLE` has none.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        body = ast.parse(path.read_text()).body
        for node, below in zip(body, [*body[1:], None], strict=True):
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=constant)], value=ast.Constant(value=str(name))
                ) if constant.endswith("_VARIABLE"):
                    match below:
                        case ast.Expr(value=ast.Constant(value=str(text))):
                            found[name] = " ".join(text.split())
                        case _:
                            raise ValueError(f"{path}: {constant} has no docstring.")
    for engine in all_engines():
        for field in (engine.deployment.model_fields if engine.deployment else {}).values():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and "variable" in extra:
                text = f"To deploy at {engine.name} from the command line: {field.description}."
                found[str(extra["variable"])] = text
    return found


def engines() -> str:
    """Return the table of engines."""
    rows = []
    for engine in all_engines():
        address = "each account has its own" if engine.needs_base_url else engine.base_url
        if not engine.takes_base_url:
            rows.append((_code(engine.name), engine.summary, "found or started", "its own", "no"))
            continue
        rows.append(
            (
                _code(engine.name),
                engine.summary,
                address or "`OPENAI_BASE_URL`, or OpenAI's",
                _code(engine.key_variable or "none"),
                "yes" if engine.deployment else "no",
            )
        )
    head = ("Engine", "What it is", "Address", "Key", "Deploys a model before it answers")
    return table(head, rows)


def rules() -> str:
    """Return the names that `Convert(rules=...)` takes."""
    return ", ".join(_code(name) for name in ENGINES)


def methods() -> str:
    """Return the table of training methods, by the kind of line that `Convert` makes."""
    rows = [
        (_code(kind), _code(method_of(kind).name), method_of(kind).words)
        for kind in get_args(LineKind)
    ]
    return table(("`Convert(method=...)`", "Method of the job", "What is trained"), rows)


def extras() -> str:
    """Return the table of extras, from `pyproject.toml` and the comments there."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    said = {
        name: " ".join(comment.replace("#", " ").split())
        for comment, name in re.findall(r"((?:^#.*\n)*)^(\w+) = ", section, re.MULTILINE)
    }
    names = tomllib.loads(text)["project"]["optional-dependencies"]
    return table(("Extra", "What it is for"), [(_code(name), said[name]) for name in names])


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`"


GENERATED = {
    each.__name__: each
    for each in (command_line, engines, environment, extras, hyperparameters, methods, rules)
}
