"""The tokenizer: byte-level BPE, cut so that the same word is the same tokens everywhere.

Digits, CJK characters, symbols and spaces stand alone; only letters of alphabets are merged
to longer pieces. Copying a word from a sentence into JSON is then a copy of tokens.
Bytes are the fallback, so that nothing is unknown. The fixed text around tools gets tokens of its
own. They are not special: they match text wherever it occurs and decode to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from curriculum import frames_eastern, frames_western, sample
from curriculum.chat import TOOLS_HEAD, TOOLS_TAIL, text
from curriculum.words import HANGUL, HANZI, KANA
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import langchain_finetune

TEMPLATE = Path(langchain_finetune.__file__).parent / "local" / "nano" / "chat_template.jinja"
VOCABULARY = 2400
MAX_LENGTH = 4096
END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
CJK = r"\x{3040}-\x{30ff}\x{3400}-\x{9fff}\x{ac00}-\x{d7a3}"
PIECES = rf" {{4}}|\p{{N}}|[{CJK}]|[^\s\p{{L}}\p{{N}}]|\s|[^\s\P{{L}}{CJK}]+|\p{{L}}+?"
TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
SCAFFOLD = (
    TOOLS_HEAD + "\n", TOOLS_TAIL, "system\n", "user\n", "assistant\n",
    '{"type": "function", "function": {"name": "',
    '", "description": "', '", "parameters": {"properties": {"',
    '", "parameters": {"type": "object", "properties": {"',
    '": {"type": "number"', '": {"type": "integer"', '": {"type": "string"',
    '": {"type": "boolean"',
    '": {"description": "', '": {"enum": ["', '": {"default": ',
    '", "type": "number"', '", "type": "integer"', '", "type": "string"', '", "type": "boolean"',
    '"], "type": "string"', ', "type": "number"', ', "type": "integer"', ', "type": "boolean"',
    ', "type": "string"', ', "enum": ["', '", "enum": ["', ', "description": "',
    '"], "description": "',
    ', "title": "', '", "title": "', ', "default": ', '", "default": ',
    '}, "', '"}, "', '"]}, "', '}}, "required": ["', '"}}, "required": ["', '"]}}, "required": ["',
    '"], "type": "object"', ', "additionalProperties": false', ', "strict": true', '"]}}}', "}}}",
    '\n{"name": "', '", "arguments": {"', '": ', '": "', '", "', ', "', "}}\n", '"}}\n', '{"',
)  # fmt: skip
RESPONSE_TEMPLATE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": f"{START}assistant\n",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}


def _corpus(seed: int, chats: int) -> Iterator[str]:
    """Yield chats without the template's special tokens, which are added separately."""
    rng = Random(seed)
    fixed = sorted((START, END, *TAGS, *SCAFFOLD), key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(piece) for piece in fixed))
    letters = [HANZI, HANGUL, KANA, *_phrases(frames_western), *_phrases(frames_eastern)]
    for _ in range(100):
        yield from letters
    for _ in range(chats):
        yield pattern.sub("\n", text(sample(rng)))


def _phrases(module: ModuleType) -> Iterator[str]:
    """Yield every string in the tables of a module."""
    pending: list[Any] = [v for k, v in vars(module).items() if k.isupper()]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending.extend(item.values())
        else:
            pending.extend(item)


def build(seed: int, *, chats: int = 3_000) -> PreTrainedTokenizerFast:
    """Train the tokenizer on chats of the curriculum."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=20,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed, chats), trainer)
    tokenizer.add_tokens(
        [AddedToken(piece, special=False, normalized=False) for piece in (*TAGS, *SCAFFOLD)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE.read_text("utf-8")
    fast.response_template = RESPONSE_TEMPLATE
    return fast
