"""The shape of the package: rooms with one number each, imports that point down, unique names."""

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import langchain_finetune

ROOT = Path(langchain_finetune.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 400

# A room may import from itself and from rooms with a lower number. The modules that lie in
# `local/` itself are the engine's foundation, but for the three that put it together.
ROOMS = {
    "errors": -2,
    "arguments": -1,
    "extras": -1,
    "content": 0,
    "durable": -1,
    "methods": 0,
    "private_files": 0,
    "remote_files": 0,
    "tolerant_json": 0,
    "checks": 1,
    "display": 1,
    "home": 1,
    "messages": 1,
    "recorder": 1,
    "rollout": 2,
    "sessions": 2,
    "dialects": 3,
    "loaders": 4,
    "local": 4,
    "local.model_export": 5,
    "local.serving": 5,
    "local.store": 5,
    "local.training": 5,
    "local.auth": 6,
    "local.jobs": 6,
    "local.openai_api": 7,
    "local.page": 7,
    "local.app": 8,
    "engines": 7,
    "convert": 8,
    "local.server": 9,
    "finetune": 9,
    "local.__main__": 10,
    "evaluation": 10,
    "migration": 11,
    "langserve": 12,
    "cli": 12,
    "": 13,
}
# All else reaches the engine over HTTP; its page reads traced runs as the loaders do.
LOCAL_MAY_IMPORT = {
    *("arguments", "checks", "content", "dialects", "display", "durable", "errors", "extras"),
    *("home", "messages", "methods", "private_files", "rollout", "sessions", "tolerant_json"),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """`local.serving.chat.protocol` lives in `local.serving`."""
    while module not in ROOMS:
        module = module.rpartition(".")[0]
    return module


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports_of(path: Path) -> frozenset[str]:
    """All modules of the package that a file imports, also inside functions."""
    names = {name_of(each) for each in MODULES}
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split(".")[0] != "langchain_finetune":
                continue
            base = node.module.removeprefix("langchain_finetune").lstrip(".")
            below = {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
            found |= (below & names) or {base}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("langchain_finetune").lstrip(".")
                for alias in node.names
                if alias.name.split(".")[0] == "langchain_finetune"
            }
    return frozenset(found - {name_of(path)})


def public_types(path: Path) -> list[str]:
    """Classes and type aliases whose names do not begin with an underscore."""
    names = []
    for node in tree_of(path).body:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            names += [
                target.id
                for target in node.targets
                if isinstance(target, ast.Name) and not target.id.isupper()
            ]
    return [name for name in names if not name.startswith("_") and name[0].isupper()]


def test_modules_are_short():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_imports_point_down_between_rooms():
    up = []
    for path in MODULES:
        room = room_of(name_of(path))
        for imported in imports_of(path):
            other = room_of(imported)
            beside = room.startswith("local") and not other.startswith("local")
            allowed = other == room or ROOMS[other] < ROOMS[room]
            if not allowed or (beside and other not in LOCAL_MAY_IMPORT):
                up.append(f"{name_of(path)} imports {imported}")
    assert up == []


def test_no_circle_of_imports():
    try:
        TopologicalSorter({name_of(path): imports_of(path) for path in MODULES}).prepare()
    except CycleError as error:
        raise AssertionError(f"These import each other: {error.args[1]}") from error


def test_rooms_say_whether_they_are_public():
    """What is public is what `langchain_finetune` and `langchain_finetune.langserve` export."""
    rooms = {path.parent.name: path for path in ROOT.glob("*/__init__.py")}
    for room, path in rooms.items():
        told = ast.get_docstring(tree_of(path))
        assert ("Internal: " in told) is (room != "langserve"), room
        assert ("The names in `__all__` are public." in told) is (room == "langserve"), room


def test_rooms_export_nothing_by_accident():
    """What a room's `__init__` imports is in its `__all__`, or its own functions need it."""
    for path in ROOT.glob("*/**/__init__.py"):
        imported, used, exported = set(), set(), set()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom):
                # `X as X` says that X is exported.
                imported |= {each.asname or each.name for each in node.names} - {
                    each.name for each in node.names if each.asname == each.name
                }
            elif isinstance(node, ast.Name):
                used.add(node.id)
            elif isinstance(node, ast.List):
                exported |= {each.value for each in node.elts if isinstance(each, ast.Constant)}
        assert imported - used - exported == set(), path


def test_importing_the_package_imports_no_module_of_it():
    code = "import sys, langchain_finetune; print(*(m for m in sys.modules if m in sys.argv))"
    names = [f"langchain_finetune.{name_of(path)}" for path in MODULES if name_of(path)]
    found = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []


def test_each_package_says_what_lives_there():
    for path in ROOT.rglob("__init__.py"):
        assert len(ast.get_docstring(tree_of(path)) or "") > 60, path


def test_public_types_have_names_of_their_own():
    places = defaultdict(list)
    for path in MODULES:
        for name in public_types(path):
            places[name].append(name_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_imports_are_absolute():
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_no_module_swallows_all_exceptions():
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
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
    [block] = [node for node in tree_of(ROOT / "__init__.py").body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module.removeprefix("langchain_finetune.")
        for node in block.body
        for alias in node.names
    }
    assert seen == langchain_finetune._PLACES


def test_the_wheel_holds_the_package_alone():
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["langchain_finetune"]}
