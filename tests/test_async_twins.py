"""Async twins of sync functions have LangChain's prefix `a` and the same parameters."""

import ast
import re
from pathlib import Path

import langchain_finetune

ROOT = Path(langchain_finetune.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef

AFFIX = re.compile(r"^(a|a_|async_)(?=[a-z])|_async$|_aio$")
KEYWORD_TWINS = {("wait", "wait_async")}
"""With the prefix, the name would be a keyword of Python: `await`."""


def scopes():
    """Yield each module and class, as its name and its functions by name."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
            name = f"{path.relative_to(ROOT)} {getattr(scope, 'name', '')}".strip()
            yield name, {each.name: each for each in scope.body if isinstance(each, Function)}


def twins(functions):
    """Yield each sync function with its async twin, however the twin is named."""
    for name, function in functions.items():
        if isinstance(function, ast.AsyncFunctionDef):
            twin = functions.get(AFFIX.sub("", name))
            if isinstance(twin, ast.FunctionDef):
                yield twin, function


ALL_TWINS = [(scope, *pair) for scope, functions in scopes() for pair in twins(functions)]


def parameters(function):
    """The parameters with their defaults, without annotations."""
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    extra = [each.arg for each in (arguments.vararg, arguments.kwarg) if each]
    defaults = [each and ast.unparse(each) for each in arguments.defaults + arguments.kw_defaults]
    # The one default that has to differ between sync and async functions.
    return names, extra, [each and each.replace("asyncio.sleep", "time.sleep") for each in defaults]


def test_there_are_twins_to_compare():
    names = {sync.name for _, sync, _ in ALL_TWINS}
    assert {"invoke", "submit", "wait", "status"} <= names


def test_twins_have_the_prefix():
    wrong = [
        f"{scope}: {twin.name}, not a{sync.name}"
        for scope, sync, twin in ALL_TWINS
        if twin.name != f"a{sync.name}" and (sync.name, twin.name) not in KEYWORD_TWINS
    ]
    assert wrong == []


def test_no_other_public_name_says_that_it_is_async():
    allowed = {name for pair in KEYWORD_TWINS for name in pair}
    wrong = [
        f"{scope}: {name}"
        for scope, functions in scopes()
        for name in functions
        if re.search(r"(^|_)(async|sync)(_|$)", name)
        and not name.startswith("_")
        and name not in allowed
    ]
    assert wrong == []


def test_twins_have_the_same_parameters():
    different = [
        f"{scope}: {sync.name}"
        for scope, sync, twin in ALL_TWINS
        if parameters(sync) != parameters(twin)
    ]
    assert different == []
