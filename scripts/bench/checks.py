"""Time of checking one clean example, against reading its line with Python's `json`.

    .venv/bin/python scripts/bench/checks.py

The promise that is checked: less than twice the reading, for a chat of 1 KB and for an agent's
run of ten messages with four calls whose arguments are held to their schemas.
"""

import json
import timeit
from typing import Any

from langchain_finetune.checks import OPENAI, check_example
from langchain_finetune.convert.rows import encode_line

TIMES, REPEATS = 3000, 7
ALLOWED = 2.0

SCHEMA = {
    "type": "object",
    "properties": {
        "beds": {"type": "integer", "minimum": 1},
        "view": {"enum": ["sea", "yard"]},
        "nights": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["beds"],
    "additionalProperties": False,
}


def main() -> int:
    """Print one line for each example; 1 where the promise is broken."""
    print(f"{'example':10}{'bytes':>8}{'check us':>10}{'json us':>10}{'ratio':>8}")
    kept = True
    for name, example in (("chat", chat()), ("agent", agent())):
        line = encode_line(example)
        assert check_example(example) == []
        check = best(lambda example=example, line=line: check_example(example, OPENAI, line=line))
        read = best(lambda line=line: json.loads(line))
        kept = kept and check < ALLOWED * read
        print(f"{name:10}{len(line):8}{check:10.1f}{read:10.1f}{check / read:8.2f}")
    return 0 if kept else 1


def best(action: Any) -> float:
    """Return the microseconds of the fastest repetition."""
    return min(timeit.repeat(action, number=TIMES, repeat=REPEATS)) / TIMES * 1e6


def chat() -> dict[str, Any]:
    """A chat of 1 KB."""
    return {
        "messages": [
            {"role": "system", "content": "You run a small hotel's front desk. " * 8},
            {"role": "user", "content": "Is a double room free tonight, s'il vous plaît? " * 6},
            {"role": "assistant", "content": "Yes, one on the second floor. " * 8},
        ]
    }


def agent() -> dict[str, Any]:
    """Ten messages with four calls, two of them in one turn."""
    messages: list[dict[str, Any]] = chat()["messages"][:2]
    arguments = json.dumps({"beds": 2, "view": "sea", "nights": ["2026-11-21", "2026-11-22"]})
    for turn, calls in enumerate((2, 1, 1)):
        ids = [f"call_{turn}_{call}" for call in range(calls)]
        function = {"name": f"find_room_{turn}", "arguments": arguments}
        asked = [{"id": call_id, "type": "function", "function": function} for call_id in ids]
        messages.append({"role": "assistant", "content": None, "tool_calls": asked})
        messages += [
            {"role": "tool", "tool_call_id": call_id, "content": '{"free": 1}'} for call_id in ids
        ]
    messages.append({"role": "assistant", "content": "Yes, there is."})
    tools = [
        {"type": "function", "function": {"name": f"find_room_{number}", "parameters": SCHEMA}}
        for number in range(4)
    ]
    return {"messages": messages, "tools": tools}


if __name__ == "__main__":
    raise SystemExit(main())
