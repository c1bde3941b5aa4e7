"""A tiny random model with a byte-level tokenizer and Qwen2.5's chat template, made in a second."""

import json
from pathlib import Path

CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Adds or multiplies.",
        "parameters": {
            "type": "object",
            "properties": {
                "first": {"type": "integer"},
                "operation": {"type": "string", "enum": ["add", "multiply"]},
                "second": {"type": "integer"},
            },
            "required": ["first", "operation", "second"],
        },
    },
}


def make_tiny_model(folder: Path, *, context: int = 2048, tied: bool = True) -> Path:
    """Write a Llama of 60,000 random parameters and its tokenizer into `folder`.

    Input and output embeddings are the same weights if they are `tied`.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl.chat_template_utils import add_response_schema, qwen2_5_chat_template

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(
        models.BPE(vocab={letter: n for n, letter in enumerate(alphabet)}, merges=[])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        model_max_length=context,
    )
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    tokenizer.chat_template = qwen2_5_chat_template
    add_response_schema(tokenizer)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=context,
            tie_word_embeddings=tied,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def example(first: int, second: int) -> dict:
    """One training line: a question, and the calculator call that answers it."""
    arguments = {"first": first, "operation": "add", "second": second}
    return {
        "messages": [
            {"role": "user", "content": f"{first} plus {second}?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "calculator", "arguments": json.dumps(arguments)},
                    }
                ],
            },
        ],
        "tools": [CALCULATOR],
    }


def write_lines(path: Path, examples: list) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in examples))
    return path
