"""The keys of evaluators, as far as they are certain before one runs; and rules that name them."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_finetune.errors import InvalidArgumentError
from langchain_finetune.evaluation.evaluators import BUILT_IN

_NUMBERS = frozenset({"bool", "int", "float", "any", "all", "len", "round", "abs", "min", "max"})
"""Functions whose result is a score; LangSmith's key is then the evaluator's name."""


def check_rules(evaluators: Sequence[Any] | None, rules: Mapping[str, Iterable[str]]) -> None:
    """Check that each rule names an evaluator, where all their keys are certain.

    Args:
        evaluators: Evaluators as `Compare` takes them; None for the built-in ones.
        rules: Keys of evaluators, by the name of the argument or option that has them.

    Raises:
        InvalidArgumentError: There is no such evaluator.
    """
    found = [keys_of(each) for each in (BUILT_IN.values() if evaluators is None else evaluators)]
    if not all(found):
        return
    known: dict[str, None] = {}
    for key in (key for keys in found for key in keys):
        number = 1  # Of two evaluators with the same key, the second one's is numbered.
        while (name := key if number == 1 else f"{key} {number}") in known:
            number += 1
        known[name] = None
    for source, names in rules.items():
        for name in names:
            if name not in known:
                raise InvalidArgumentError(
                    f"{source} names the evaluator {name!r}, but there is only {', '.join(known)}."
                )


def keys_of(evaluator: Any) -> list[str]:
    """Return the keys of an evaluator's scores; none if they are known only once it ran.

    Example:
        >>> keys_of(BUILT_IN["exact_match"]), keys_of(lambda outputs: True)
        (['exact_match'], [])
    """
    if evaluator in BUILT_IN.values():
        return [evaluator.__name__]
    if not inspect.isfunction(evaluator) or hasattr(evaluator, "__wrapped__"):
        return []
    if evaluator.__annotations__.get("return") in {bool, int, float, "bool", "int", "float"}:
        return [evaluator.__name__]
    try:
        [defined] = ast.parse(textwrap.dedent(inspect.getsource(evaluator))).body
    except (OSError, SyntaxError, TypeError, ValueError):
        return []
    if not isinstance(defined, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    inner = (each for part in defined.body for each in ast.walk(part))
    returned = [each.value for each in inner if isinstance(each, ast.Return)]
    keys = [_key(each, evaluator.__name__) for each in returned]
    return [key for key in dict.fromkeys(keys) if key] if keys and all(keys) else []


def _key(value: ast.expr | None, name: str) -> str | None:
    """Return the key of what an evaluator returns, or None if that is not certain."""
    if isinstance(value, ast.Dict):
        pairs = {
            each.value: given
            for each, given in zip(value.keys, value.values, strict=True)
            if isinstance(each, ast.Constant)
        }
        key = pairs.get("key", ast.Constant(name))
        certain = len(pairs) == len(value.keys) and "results" not in pairs
        return str(key.value) if certain and isinstance(key, ast.Constant) else None
    return name if _is_number(value) else None


def _is_number(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in _NUMBERS
    if isinstance(value, ast.IfExp):
        return _is_number(value.body) and _is_number(value.orelse)
    return isinstance(value, ast.Compare | ast.UnaryOp | ast.BinOp | ast.Constant)
