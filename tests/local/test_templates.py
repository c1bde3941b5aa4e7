"""Every family's own chat template: trained, read, forced and streamed; makes the docs' table."""

import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from langchain_finetune.local.chat_template import render, to_template_input
from langchain_finetune.local.serving.structured.shape import AnswerSchema, Shape
from langchain_finetune.local.training.encoding import Encoder, UnfitExampleError
from langchain_finetune.local.training.sequences import IGNORED
from tests.local.families import FAMILIES, FETCH, tokenizer_of

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "templates.md"

WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "metric": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["city", "days"],
    },
}


class Weather(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    city: str
    days: int
    metric: bool | None = None
    tags: list[str] | None = None
    unit: Literal["C", "F"] | None = None


TOOLS = [{"type": "function", "function": WEATHER}]
FULL = {"city": 'Zürich, "x" (old)', "days": 3, "metric": True, "tags": ["a, b", "c"], "unit": "C"}
PART = {"city": "Rome's", "days": 1}
ANSWER, LAST = "Yes. No", "It is\nsunny"


def said(role, text):
    return {"role": role, "content": text}


def calling(*calls, text=None):
    return {
        "role": "assistant",
        "content": text,
        "tool_calls": [
            {
                "id": f"call_{place}xyz",
                "type": "function",
                "function": {"name": "weather", "arguments": json.dumps(arguments)},
            }
            for place, arguments in enumerate(calls)
        ],
    }


def result(place, text):
    return {"role": "tool", "tool_call_id": f"call_{place}xyz", "content": text}


ASKED = said("user", "How is it?")
CHATS = {
    "text": [ASKED, said("assistant", ANSWER)],
    "multi-turn": [ASKED, said("assistant", ANSWER), said("user", "Why?"), said("assistant", LAST)],
    "system": [said("system", "Be brief."), ASKED, said("assistant", ANSWER)],
    "call": [ASKED, calling(FULL)],
    "result": [
        said("system", "Be brief."),
        ASKED,
        calling(PART),
        result(0, "12 degrees"),
        said("assistant", LAST),
        said("user", "And there?"),
        calling(FULL),
        result(0, "7 degrees"),
        said("assistant", ANSWER),
    ],
    "parallel": [
        ASKED,
        calling(FULL, PART),
        result(0, "1"),
        result(1, "2"),
        said("assistant", LAST),
    ],
    "text+call": [ASKED, calling(PART, text=ANSWER)],
}
REASONS = {
    "one": "refused: one call an answer",
    "left out": "refused: left out",
}


@pytest.fixture(params=[family.name for family in FAMILIES])
def family(request):
    found = next(each for each in FAMILIES if each.name == request.param)
    if found.template is None:
        pytest.skip(f"llama.cpp's templates are not here: run scripts/test --templates ({FETCH}=1)")
    return found


@cache
def encoder_of(family):
    text = SimpleNamespace(max_position_embeddings=1_000_000)
    tokenizer = tokenizer_of(family)
    ends = SimpleNamespace(eos_token_id=tokenizer.eos_token_id)
    return Encoder.of(tokenizer, SimpleNamespace(get_text_config=lambda: text), ends)


def body(chat, until=None):
    tools = TOOLS if any("tool_calls" in message for message in chat) else []
    return {"messages": chat[:until], "tools": tools}


def trained(encoder, chat):
    """Each trained run of tokens as text, with the text before it in its sequence."""
    runs = []
    for sequence in encoder.sequences(body(chat)):
        pairs = list(zip(sequence.input_ids, sequence.labels, strict=True))
        for place, (token, label) in enumerate(pairs):
            if label == IGNORED:
                continue
            assert label == token
            if place and pairs[place - 1][1] != IGNORED:
                runs[-1][1].append(token)
            else:
                runs.append(([each for each, _ in pairs[:place]], [token]))
    decode = encoder.tokenizer.decode
    return [(decode(before), decode(run)) for before, run in runs]


def parsed(family, answer, prompt, *, pieces=False):
    """What serving makes of an answer that comes token by token."""
    from transformers.cli.serving.utils import ReasoningText, ToolCall, response_events_to_chunks

    from langchain_finetune.local.serving.stream import LenientParser

    encoder = encoder_of(family)
    tokenizer = encoder.tokenizer
    parser = LenientParser(
        encoder.form, prefix=prompt, tools=TOOLS, special=tokenizer.all_special_tokens
    )
    items = response_events_to_chunks(parser.initial_events)
    tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
    text = ""
    for place in range(len(tokens)):
        whole = tokenizer.decode(tokens[: place + 1])
        if not whole.endswith("�"):
            items += response_events_to_chunks(parser.feed(whole[len(text) :]))
            text = whole
    items += response_events_to_chunks(parser.finalize()[1])
    calls = [json.loads(each.arguments) for each in items if isinstance(each, ToolCall)]
    assert all(each.name == "weather" for each in items if isinstance(each, ToolCall))
    texts = [
        each for each in items if isinstance(each, str) and not isinstance(each, ReasoningText)
    ]
    thoughts = [str(each) for each in items if isinstance(each, ReasoningText)]
    if pieces:
        return texts
    return "".join(texts).strip(), calls, "".join(thoughts).strip()


def expected(message):
    calls = [json.loads(call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    return message["content"] or "", calls


def cell(family, column):
    """What the table says of a family; asserts that all is right, or refused for a reason."""
    encoder = encoder_of(family)
    chat = CHATS[column]
    takes = encoder.form.takes
    if column == "parallel" and takes.one_call:
        with pytest.raises(UnfitExampleError, match="writes one call per answer"):
            trained(encoder, chat)
        return REASONS["one"]
    if column == "text+call" and not takes.text_beside:
        with pytest.raises(UnfitExampleError, match="leaves out the text beside a call"):
            trained(encoder, chat)
        return REASONS["left out"]
    runs = trained(encoder, chat)
    answers = [place for place, message in enumerate(chat) if message["role"] == "assistant"]
    assert len(runs) == len(answers)
    mark = "yes"
    for place, (before, run) in zip(answers, runs, strict=True):
        given = to_template_input(body(chat, place))
        assert before == render(encoder.tokenizer, given, add_generation_prompt=True)
        if chat[0]["role"] == "system":
            assert "Be brief." in before
        for message in chat[:place]:
            assert message["role"] != "tool" or message["content"] in before
        text, calls = expected(chat[place])
        found, made, thought = parsed(family, run, before)
        assert made == calls
        if thought and not found and text == thought:
            mark = "as a thought"
        else:
            assert (found, thought) == (text, "")
        # One token that ends an answer, and that at its end.
        ends = set(encoder.tokenizer.convert_tokens_to_ids(list(encoder.form.ends)))
        ids = encoder.tokenizer(run, add_special_tokens=False)["input_ids"]
        assert [token in ends for token in ids] == [False] * (len(ids) - 1) + [True]
        # The template's own text of the chat has the answer as it is trained, but for its opening.
        answer = run[: -len(next(end for end in encoder.form.ends if run.endswith(end)))]
        opening = encoder.form.opening + encoder.form.text
        shown = render(
            encoder.tokenizer, to_template_input(body(chat, place + 1)), add_generation_prompt=False
        )
        assert answer.removeprefix(opening).removeprefix(encoder.form.opening).strip() in shown
    return mark


def form_of_calls(family):
    """Whose form calls are written in, and what comes before the template."""
    template = encoder_of(family).tokenizer.chat_template
    flags = dict(re.findall(r"set lcft_(\w+) = (true|false)", template.partition("-#}")[0]))
    ours = flags.get("write_calls") == "true"
    added = {
        "list_tools": "tools are listed",
        "fold_system": "system message in the first user's",
        "merge_users": "users in a row are joined",
    }
    told = [text for flag, text in added.items() if flags.get(flag) == "true"]
    return "Hermes" if ours else "own", ", ".join(told[1:] if ours else told)


def test_the_table_in_the_docs(family):
    marks = [cell(family, column) for column in CHATS]
    # The last three are the tests below, which hold for every family.
    row = f"| {' | '.join([family.name, *form_of_calls(family), *marks, 'yes', 'yes', 'yes'])} |"
    rows = DOCS.read_text().splitlines()
    assert row in rows, f"docs/reference/templates.md should have: {row}"


def test_the_docs_have_no_other_rows():
    table = DOCS.read_text().partition("| Family |")[2].split("\n\n")[0]
    names = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    assert names == [family.name for family in FAMILIES]


def test_the_mask_is_that_of_trl(family):
    """TRL has templates that mark what is trained, for the families that it knows."""
    import trl

    kind, _, name = family.source.partition(":")
    marked = Path(trl.__file__).with_name("chat_templates") / f"{name}_training.jinja"
    if kind != "trl" or not marked.exists():
        pytest.skip("TRL has no such template")
    tokenizer = tokenizer_of(family)
    for chat in (CHATS["text"], CHATS["multi-turn"]):
        encoded = tokenizer.apply_chat_template(
            chat,
            chat_template=marked.read_text(),
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        runs = [""]
        for token, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
            if mark:
                runs[-1] += tokenizer.decode([token])
            elif runs[-1]:
                runs.append("")
        ours = [run for _, run in trained(encoder_of(family), chat)]
        for run, our in zip(filter(None, runs), ours, strict=True):
            # In a chat that goes on, gpt-oss ends an answer in another way.
            ends = "|".join(map(re.escape, [*encoder_of(family).form.ends, "<|end|>"]))
            # TRL has its own mind on what opens an answer, and on what stands behind its end.
            opening = (
                r"^(<\|start\|>assistant|<｜Assistant｜>)?(<\|channel\|>final<\|message\|>)?"
                r"\s*(<think>)?\s*(</think>)?\s*"
            )
            theirs, answer = (re.sub(opening, "", each) for each in (run, our))
            assert re.split(ends, answer)[0] == re.split(ends, theirs)[0].rstrip("\n")
            assert re.fullmatch(rf"(?s:.*)({ends})", answer)


@cache
def grammar_of(family, shape):
    from llguidance.hf import from_tokenizer

    from langchain_finetune.local.serving.structured.constraint import Grammar
    from langchain_finetune.local.serving.structured.grammar import compile_shape

    encoder = encoder_of(family)
    tokenizer, form = encoder.tokenizer, encoder.form
    ends = tokenizer.convert_tokens_to_ids(list(form.ends))
    vocabulary = from_tokenizer(tokenizer, eos_token=ends)
    special = {
        str(added): token
        for token, added in tokenizer.added_tokens_decoder.items()
        if vocabulary.is_special_token(token) and token not in ends
    }
    closings = tokenizer(form.call.closings or [""])["input_ids"]
    start = compile_shape(shape, form, vocabulary, special)
    return Grammar(vocabulary, start, ends, closings)


class Frozen(AnswerSchema):
    """Usable as a key: one schema for each name."""

    def __hash__(self):
        return hash((self.name, self.strict))


FORCED = Shape(
    None, free=False, tools=(Frozen("weather", WEATHER["parameters"], "tools"),), parallel=True
)
FREE = Shape(None, free=True, tools=FORCED.tools, parallel=True)
DOCUMENT = Shape(Frozen("document", WEATHER["parameters"], "response_format"), False, (), False)


def takes(family, shape, text):
    """Whether an answer in this form can be this text, but for what the template opens it with."""
    encoder, grammar = encoder_of(family), grammar_of(family, shape)
    for end in encoder.form.ends:
        text = text.removesuffix(end)
    tokens = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
    matcher = grammar.start.deep_copy()
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


ROOM = 300


def drawn(family, shape, seed):
    """What a model that knows nothing writes in a form."""
    import torch

    from langchain_finetune.local.serving.structured.constraint import Constraint

    encoder, grammar = encoder_of(family), grammar_of(family, shape)
    constraint = Constraint(grammar, ROOM, greedy=False)
    chance = torch.Generator().manual_seed(seed)
    ends = encoder.tokenizer.convert_tokens_to_ids(list(encoder.form.ends))
    ids = torch.zeros(1, 1, dtype=torch.long)
    for _ in range(ROOM):
        scores = constraint(ids, torch.randn(1, len(encoder.tokenizer), generator=chance) * 3)
        token = torch.multinomial(torch.softmax(scores, -1), 1, generator=chance)
        ids = torch.cat([ids, token], 1)
        if int(token) in ends:
            break
    written = [token for token in ids[0, 1:].tolist() if token not in ends]
    return encoder.tokenizer.decode(written)


def opened(family, chat):
    """An answer as it is trained, in two: what the template opens it with, and the rest."""
    encoder = encoder_of(family)
    [*_, (before, run)] = trained(encoder, chat)
    assert run.startswith(encoder.form.opening)
    return before + encoder.form.opening, run[len(encoder.form.opening) :]


def test_a_forced_call_is_what_the_template_writes(family):
    before, call = opened(family, [ASKED, calling(FULL)])
    one_call = encoder_of(family).form.takes.one_call
    # Lists that are written as Python's are forced as JSON, which is read alike.
    call = call.replace("['a, b', 'c']", '["a, b", "c"]')
    assert takes(family, FORCED, call)
    assert takes(family, FREE, call)
    assert takes(family, FREE, ANSWER)
    assert not takes(family, FORCED, ANSWER)
    assert not takes(family, FORCED, call.replace("weather", "another"))
    assert not takes(family, FORCED, call.replace("days", "weeks"))
    assert not takes(family, FORCED, call.replace("3", "three"))
    assert parsed(family, call, before)[1] == [FULL]
    if not one_call:
        _, two = opened(family, [ASKED, calling(FULL, {"city": "Rome", "days": 1})])
        two = two.replace("['a, b', 'c']", '["a, b", "c"]')
        assert takes(family, FORCED, two)
    text, calls, _ = parsed(family, drawn(family, FORCED, len(family.name)), before)
    assert text == ""
    assert calls
    for arguments in calls:
        Weather.model_validate(arguments)


def test_a_document_is_all_of_an_answer(family):
    form = encoder_of(family).form
    _, answer = opened(family, [ASKED, said("assistant", json.dumps(PART))])
    answer = answer.removeprefix(form.text)
    assert takes(family, DOCUMENT, answer)
    assert not takes(family, DOCUMENT, answer.replace("days", "weeks"))
    assert not takes(family, DOCUMENT, ANSWER)
    written = drawn(family, DOCUMENT, 1)
    assert json.loads(written.removesuffix(form.tail))["days"] is not None


def test_text_is_streamed_as_it_comes(family):
    encoder = encoder_of(family)
    [(before, run)] = trained(encoder, CHATS["text"])
    pieces = parsed(family, run, before, pieces=True)
    assert "".join(pieces).strip() == ANSWER
    assert len(pieces) >= 5


def test_one_rendering_gives_the_layouts_of_many(family):
    encoder = encoder_of(family)
    slow = Encoder(encoder.tokenizer, encoder.stop_ids, encoder.max_length)
    vars(slow)["_answers"] = None
    for chat in CHATS.values():
        for last_only in (False, True):
            made = []
            for each in (encoder, slow):
                try:
                    made.append(each.layout(body(chat), last_only=last_only))
                except UnfitExampleError as error:
                    made.append((error.code, error.index))
            assert made[0] == made[1]
