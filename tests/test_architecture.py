"""The shape of the package: short modules, imports that point down, an honest `__all__`."""

import ast
from pathlib import Path

import pytest

import langchain_finetune

ROOT = Path(langchain_finetune.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
SCRIPTS = sorted((ROOT.parent / "scripts").rglob("*.py"))
TESTS = sorted((ROOT.parent / "tests").rglob("*.py"))

# A room may import from itself and from rooms with a lower number.
ROOMS = {
    "errors": 0,
    "home": 1,
    "content": 0,
    "messages": 1,
    "recorder": 1,
    "sessions": 2,
    "convert.checks": 1,
    "convert.lines": 3,
    "loaders.payloads": 3,
    "local": 4,
    "loaders": 5,
    "convert": 6,
    "finetune.job": 7,
    "finetune.job_status": 7,
    "finetune.steps": 7,
    "finetune.engines": 8,
    "finetune": 9,
    "cli": 10,
    "langserve": 10,
    "": 11,
}
LOCAL_MAY_IMPORT = {
    *("errors", "home", "local"),
    # Its page reads traced runs as the loaders do.
    *("content", "messages", "sessions", "loaders.payloads", "convert.checks", "convert.lines"),
}


def room_of(module: str) -> str:
    """`loaders.payloads.openai` lives in `loaders.payloads`."""
    while module not in ROOMS:
        module = module.rpartition(".")[0]
    return module


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """All modules of the package that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module.split(".")[0] != "langchain_finetune":
                continue
            base = node.module.removeprefix("langchain_finetune").lstrip(".")
            for alias in node.names:
                below = ROOT.joinpath(*base.split("."), alias.name)
                is_module = below.is_dir() or below.with_suffix(".py").exists()
                found.add(f"{base}.{alias.name}".lstrip(".") if is_module else base)
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("langchain_finetune").lstrip(".")
                for alias in node.names
                if alias.name.split(".")[0] == "langchain_finetune"
            }
    return found


@pytest.mark.parametrize("path", MODULES + SCRIPTS + TESTS, ids=lambda p: str(p)[-40:])
def test_modules_are_short(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    room = room_of(name_of(path))
    for imported in imports_of(path):
        other = room_of(imported)
        assert ROOMS[other] < ROOMS[room] or other == room, f"{name_of(path)} imports {imported}"
        if room == "local":
            assert other in LOCAL_MAY_IMPORT, f"{name_of(path)} imports {imported}"


def test_imports_are_absolute():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_no_module_swallows_all_exceptions():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else ""
                passes_on = isinstance(node.body[-1], ast.Raise)
                assert passes_on or caught not in {"", "Exception", "BaseException"}, path


def test_all_is_what_the_package_exports():
    submodules = {name_of(path).split(".")[0] for path in MODULES}
    helpers = {"Any", "TYPE_CHECKING", "import_module"}
    public = {name for name in dir(langchain_finetune) if not name.startswith("_")}
    assert set(langchain_finetune.__all__) == public - submodules - helpers
    assert list(langchain_finetune.__all__) == sorted(langchain_finetune.__all__)
    for name in langchain_finetune.__all__:
        assert getattr(langchain_finetune, name).__module__.startswith("langchain_finetune.")


def test_types_see_what_is_exported():
    [block] = [
        node
        for node in ast.parse((ROOT / "__init__.py").read_text()).body
        if isinstance(node, ast.If)
    ]
    seen = {
        alias.name: node.module.removeprefix("langchain_finetune.")
        for node in block.body
        for alias in node.names
    }
    assert seen == langchain_finetune._PLACES
