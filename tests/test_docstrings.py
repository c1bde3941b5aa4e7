"""Examples in docstrings: those with results are run, the others name only what there is."""

import ast
import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

import langchain_finetune
from langchain_finetune.loaders.query import RunQuery
from langchain_finetune.loaders.query_loader import QueryLoader

ROOT = Path(langchain_finetune.__file__).parent
SOURCES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): text
    for path in sorted(ROOT.rglob("*.py"))
    if ("```python" in (text := path.read_text()) or ">>> " in text) and path.stem != "__main__"
}
WITH_RESULTS = [name for name, text in SOURCES.items() if ">>> " in text]
FENCED = re.compile(r"^( *)```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", WITH_RESULTS)
def test_results_are_as_the_example_says(name):
    told = doctest.testmod(import_module(name))
    assert told.attempted
    assert not told.failed


CALLS = [
    pytest.param(inspect.cleandoc("\n" + code), id=name)
    for name, text in SOURCES.items()
    for _, code in FENCED.findall(text)
]


@pytest.mark.parametrize("code", CALLS)
def test_an_example_calls_what_there_is_with_arguments_that_it_takes(code):
    for node in ast.walk(ast.parse(code)):
        called = (
            node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        )
        if called in langchain_finetune.__all__:
            wanted = {keyword.arg for keyword in node.keywords if keyword.arg}
            assert wanted <= taken(getattr(langchain_finetune, called)), called
        if isinstance(node, ast.ImportFrom) and node.module.startswith("langchain_finetune"):
            module = import_module(node.module)
            assert all(hasattr(module, each.name) for each in node.names)


def taken(called):
    names = set(inspect.signature(called).parameters)
    if inspect.isclass(called) and issubclass(called, BaseModel):
        names |= called.model_fields.keys()
        names |= RunQuery.model_fields.keys() if issubclass(called, QueryLoader) else set()
    return names


def test_there_are_examples_of_both_kinds():
    assert len(WITH_RESULTS) > 30
    assert len(CALLS) > 15
