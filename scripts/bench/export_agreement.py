"""Do other servers write what the engine writes? Exported models, with greedy tokens compared.

A model of the engine is exported as `hf` and as GGUF (16 bits and q8_0). Each is served by the
server that it is for, over a socket: `transformers serve`, and llama.cpp's own server, as the
package `xllamacpp` has it (install it first). All answer the same 50 chats, ten of them with tools.

16-bit arithmetic differs between libraries, and turns near ties. So the model is also computed in
32 bits, as the reference of what the weights say: `gap` is how far apart its two likeliest tokens
are, in logits, where an answer first leaves it. An export that is wrong (a lost token, another
template) leaves it at large gaps.

    PYTHONPATH=scripts .venv/bin/python scripts/bench/export_agreement.py MODEL [PROMPTS] \
        [--q4_k_m] [--questions]

`--questions` asks what a model of the walkthrough was tuned for: calculator calls for numbers that
it has not seen.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from langchain_core.utils.function_calling import convert_to_openai_tool
from openai import InternalServerError, OpenAI
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.llama_cpp import command as llama_command
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.home import home_path
from langchain_finetune.local.chat_template import TemplateInput, render
from langchain_finetune.local.hardware import has_fast_bfloat16
from walkthrough.calculator import SYSTEM_PROMPT, Calculator
from walkthrough.questions import LANGUAGES, held_out

TOKENS = 20
SUBJECTS = "tea rain glass bread maps salt snow clocks rivers bees".split()
ASKED = (
    "What is {}? One sentence.",
    "Why do people like {}?",
    "Write a title for a story about {}.",
    "Name three things that go with {}.",
    "What's the weather in the town of {}?",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a town.",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string"}},
            "required": ["town"],
        },
    },
}


def chats(count: int) -> list[dict[str, Any]]:
    """Return requests: each fifth has a tool, each second a system prompt, each third two turns."""
    made: list[dict[str, Any]] = []
    for number in range(count):
        subject = SUBJECTS[number // len(ASKED) % len(SUBJECTS)]
        asked = ASKED[number % len(ASKED)].format(subject)
        messages = [{"role": "user", "content": asked}]
        if number % 3 == 0:
            earlier = [("user", "Hello!"), ("assistant", "Hello. How can I help?")]
            messages = [{"role": role, "content": text} for role, text in earlier] + messages
        if number % 2 == 0:
            messages.insert(0, {"role": "system", "content": "You answer briefly."})
        tools = {"tools": [TOOL]} if number % len(ASKED) == len(ASKED) - 1 else {}
        made.append({"messages": messages, **tools})
    return made


def questions(count: int) -> list[dict[str, Any]]:
    """Return requests for calculator calls."""
    tools = [convert_to_openai_tool(Calculator)]
    system = {"role": "system", "content": SYSTEM_PROMPT}
    return [
        {"messages": [system, {"role": "user", "content": each.text}], "tools": tools}
        for each in held_out(-(-count // len(LANGUAGES)))[:count]
    ]


def answers(client: OpenAI, model: str, requests: list[dict[str, Any]]) -> list[str]:
    """Return the greedy answers, with calls as JSON."""
    written = []
    for request in requests:
        room = 3 * TOKENS if "tools" in request else TOKENS
        try:
            done = client.chat.completions.create(
                model=model, temperature=0, max_tokens=room, timeout=300, **request
            )
        except InternalServerError:
            # transformers' server can't answer with a call that is cut off, or no JSON.
            written.append("[[HTTP 500]]")
            continue
        message = done.choices[0].message
        calls = [
            [each.function.name, json.loads(each.function.arguments)]
            for each in message.tool_calls or ()
        ]
        # transformers' server names the end of an answer in its text.
        text = (message.content or "").replace("<|im_end|>", "").strip()
        written.append(json.dumps(calls) if calls else text)
    return written


class Reference:
    """The weights of a folder in 32 bits."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, at most so many as were asked for."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))[:TOKENS]

    def answer(self, request: dict[str, Any]) -> tuple[list[int], list[float]]:
        """Return the greedy tokens without the end, and the gap to the second at each."""
        given = TemplateInput(request["messages"], request.get("tools", []))
        prompt = render(self.tokenizer, given, add_generation_prompt=True)
        ids = self.tokenizer.encode(prompt, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            done = self.model.generate(
                ids, max_new_tokens=TOKENS, do_sample=False, return_dict_in_generate=True,
                output_logits=True, attention_mask=torch.ones_like(ids),
            )  # fmt: skip
        tokens = done.sequences[0, ids.shape[1] :].tolist()
        best = [logits[0].topk(2).values for logits in done.logits]
        gaps = [float(two[0] - two[1]) for two in best]
        return [token for token in tokens if token != self.tokenizer.eos_token_id], gaps


def left_at(tokens: list[int], reference: list[int]) -> int | None:
    """Return where tokens first differ from the reference; None if nowhere."""
    for place in range(max(len(tokens), len(reference))):
        if tokens[place : place + 1] != reference[place : place + 1]:
            return place
    return None


@contextmanager
def server(command: list[str], port: int) -> Iterator[OpenAI]:
    """Run a server until the block ends."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 300
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()
                    break
                except OSError as error:
                    if process.poll() is not None or time.monotonic() > deadline:
                        log.seek(0)
                        raise SystemExit(log.read()[-2000:].decode(errors="replace")) from error
                    time.sleep(1)
            yield OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def served(form: str, folder: Path) -> tuple[list[str], int, str]:
    """Return the command that serves an export, its port, and the model's name there."""
    port = free_port()
    if form == "hf":
        bin_folder = Path(sys.executable).parent
        serve = [str(bin_folder / "transformers"), "serve", str(folder), "--port", str(port)]
        # As precise as the engine: by itself it takes the 16 bits of the file on every machine.
        precision = "bfloat16" if has_fast_bfloat16() else "float32"
        return [*serve, "--dtype", precision], port, str(folder)
    [weights] = folder.glob("*.gguf")
    return llama_command(weights, port, chats=1, threads=1), port, "model"


def export(model: str, folder: Path, *options: str) -> None:
    """Export a model as the command line does."""
    command = [sys.executable, "-m", "langchain_finetune.cli", "models", "export", model]
    subprocess.run([*command, "--out", str(folder), *options], check=True, stdout=sys.stderr)


def main() -> None:
    """Print one line for each server."""
    options = [each for each in sys.argv[1:] if each.startswith("--")]
    model, *count = [each for each in sys.argv[1:] if not each.startswith("--")]
    asked = questions if "--questions" in options else chats
    requests = asked(int(count[0]) if count else 50)
    address = ensure_engine(home_path())
    key = address.api_key.get_secret_value()
    forms = {"hf": ["--format", "hf"], "f16": ["--format", "gguf"]}
    for kind in ("q8_0", *(each.lstrip("-") for each in options if each != "--questions")):
        forms[kind] = ["--format", "gguf", "--quantize", kind]
    with tempfile.TemporaryDirectory() as folder:
        folders = {form: Path(folder) / form for form in forms}
        for form, chosen in forms.items():
            export(model, folders[form], *chosen)
        written = {
            "engine": answers(OpenAI(base_url=address.base_url, api_key=key), model, requests)
        }
        for form, where in folders.items():
            command, port, name = served(form, where)
            with server(command, port) as client:
                written[form] = answers(client, name, requests)
        report(Reference(folders["hf"]), requests, written)


def report(
    reference: Reference, requests: list[dict[str, Any]], written: dict[str, list[str]]
) -> None:
    """Print, of each server, how many answers are those of the engine, and of 32 bits."""
    right = [reference.answer(request) for request in requests]
    told = {each: [reference.tokens(text) for text in texts] for each, texts in written.items()}
    print(f"{len(requests)} chats, the first {TOKENS} tokens; same answers, and same tokens before")
    for each, tokens in told.items():
        same = sum(one == other for one, other in zip(tokens, told["engine"], strict=True))
        agreed, gaps = 0, []
        calls = 0
        for place, (mine, (theirs, gap)) in enumerate(zip(tokens, right, strict=True)):
            if written[each][place].startswith("[["):
                calls += 1
                continue
            at = left_at(mine, theirs)
            agreed += at is None
            if at is not None and at < len(gap):
                gaps.append(gap[at])
        print(
            f"{each:8} as the engine {same}/{len(requests)}, as in 32 bits {agreed}/"
            f"{len(requests) - calls} (and {calls} calls), largest gap {max(gaps, default=0):.2f}"
        )


if __name__ == "__main__":
    main()
