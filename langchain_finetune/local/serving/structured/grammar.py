"""The grammar of a constrained answer, in llguidance's own language.

See https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

import json
from collections.abc import Mapping

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.protocol import unsupported
from langchain_finetune.local.serving.structured.call_grammar import call_rules, literal, pattern
from langchain_finetune.local.serving.structured.closed_schema import Closed
from langchain_finetune.local.serving.structured.shape import AnswerSchema, Schema, Shape
from langchain_finetune.local.templates.answer_form import AnswerForm
from langchain_finetune.local.templates.call_form import JsonArguments

# Errors must not quote what was written; the text of the grammar is of no use to a caller either.
_LIMITS = LLParserLimits(verbose_errors=False)


def compile_shape(
    shape: Shape,
    form: AnswerForm,
    tokenizer: LLTokenizer,
    special: Mapping[str, int],
) -> LLMatcher:
    """Compile the form of an answer into a matcher of the tokens that may come next.

    Use its `deep_copy` for each answer. `special` has the tokens that text can't contain.

    Raises:
        ApiError: 400; a schema can't be enforced, or the model's template has no calls.
    """
    call = form.call
    if shape.tools and call is None:
        raise unsupported("tool_choice", "this model's chat template has no calls that can be read")
    item, key = ", ", ": "
    if call and isinstance(call.arguments, JsonArguments):
        item, key = call.arguments.item, call.arguments.key
    # A weak model would go on with white space for ever.
    options: Schema = {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
    alternatives, rules = [], [r"TEXT: /(.|\n)*/"]
    if shape.json:
        _check(shape.json, options, tokenizer, shape.json.name, "invalid_json_schema")
        alternatives.append("document")
        # Beside calls, it is the model that opens the one or the other.
        opening = literal(form.text, special) if shape.tools else ""
        document = _json(shape.json.schema, options)
        rules.append(f"document: {opening} {document} {literal(form.tail, special)}")
    if shape.tools and call:
        for tool in shape.tools:
            name = f"function '{tool.name}'"
            _check(tool, options, tokenizer, name, "invalid_function_parameters")
        rules += call_rules(
            shape.tools,
            call,
            parallel=shape.parallel,
            special=special,
            write_json=lambda tool: lambda schema: _json(schema, _enforced(tool, options)),
        )
        before = call.opening + call.before
        if shape.free:
            rules += _free_rules(before.lstrip(), special)
        alternatives.append("answer" if shape.free else f"{literal(before, special)} calls")
    source = "\n".join(["%llguidance {}", f"start: {' | '.join(alternatives)}", *rules])
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(source), log_level=0, limits=_LIMITS)
    if matcher.is_error():
        raise ApiError(400, "The schemas are too large together.", code="schema_too_complex")
    return matcher


def _enforced(tool: AnswerSchema, options: Schema) -> Schema:
    # Of a tool that is not strict, what can't be enforced is left to the model.
    return options if tool.strict else options | {"lenient": True}


def _free_rules(opening: str, special: Mapping[str, int]) -> list[str]:
    """Return the rules of any text, and of calls after their opening marker."""
    marks = [token for token in special if opening.startswith(token)]
    if not marks:
        # Lazy: as soon as the opening stands there, it is one.
        lazy = f"text_before[lazy]: /(.|\\n)*{pattern(opening)}/"
        return [lazy, "answer: TEXT | text_before calls"]
    # TEXT has no special tokens in it; others than the mark of a call, such as those around a
    # thought, are left to the model.
    others = ",".join(str(token) for text, token in special.items() if text not in marks)
    text = f"TEXT (<[{others}]> TEXT)*" if others else "TEXT"
    return [f"answer: {text} ({literal(opening, special)} calls)?"]


def _check(
    asked: AnswerSchema, options: Schema, tokenizer: LLTokenizer, name: str, code: str
) -> None:
    """Refuse a schema that can't be enforced."""
    options = _enforced(asked, options)
    closed = Closed(asked.schema)
    fault = _fault(closed.schema | {"x-guidance": options}, tokenizer)
    if fault is None and "lenient" not in options:
        # Without fields that it does not name, a value may satisfy only one alternative of a
        # `oneOf`; with them, the same value another one, too.
        given = _fault(asked.schema | {"x-guidance": options}, tokenizer)
        if given and "oneOf" in given:
            overlaps = (_fault(both, tokenizer) for both in closed.overlaps())
            fault = next((given for each in overlaps if "Unsatisfiable" not in (each or "")), None)
    if fault is None:
        return
    if "oneOf" in fault:
        fault = (
            "a value can satisfy two alternatives of its oneOf, which can't be distinguished while"
            " it is written: use anyOf, or give each a required property with a const of its own"
        )
    raise ApiError(400, f"Invalid schema for {name}: {fault}.", code=code, param=asked.param)


def _fault(schema: Schema, tokenizer: LLTokenizer) -> str | None:
    """Return why a schema can't be enforced; None if it can."""
    grammar = LLMatcher.grammar_from_json_schema(schema)
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=_LIMITS)
    if matcher.is_error():
        # Of a pattern, the lines between show where in it the fault is.
        lines = matcher.get_error().strip().splitlines()
        return (f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") else lines[0]).rstrip(".")
    # A schema that only refers to itself compiles, but nothing satisfies it.
    matcher.compute_bitmask()
    if matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting()):
        return "Unsatisfiable schema"
    return None


def _json(schema: Schema, options: Schema) -> str:
    return f"%json {json.dumps(Closed(schema).schema | {'x-guidance': options})}"
