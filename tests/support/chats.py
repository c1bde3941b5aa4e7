"""Made-up chats for reports: tools, scripts, lengths and threads as an app's traffic has them."""

import random

from langchain_finetune.messages import WireMessages

WORDS = (
    "refund",
    "order",
    "parcel",
    "invoice",
    "when",
    "where",
    "late",
    "thanks",
    "please",
    "account",
)
ELSEWHERE = ("Где мой заказ?", "我的包裹在哪里？", "أين طلبي؟")
TOOLS = ("find_order", "refund", "open_ticket", "escalate")


def tool(name):
    parameters = {"type": "object", "properties": {"order": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def chats(count, seed=7):
    """Return sessions, the same ones each time."""
    draw = random.Random(seed)
    return [chat(draw, number) for number in range(count)]


def chat(draw, number):
    turns = min(12, 1 + int(draw.expovariate(0.7)))
    wire = [{"role": "system", "content": "You answer customers of a shop, and call tools."}]
    for turn in range(turns):
        length = int(draw.lognormvariate(3, 0.8)) + 3
        asked = " ".join(draw.choices(WORDS, k=length))
        if number % 37 == 5 and not turn:
            asked = ELSEWHERE[number % 3 if number % 5 else 0] * 40
        wire.append({"role": "user", "content": asked})
        if draw.random() < 0.45:
            name = "escalate" if number == 311 else draw.choices(TOOLS, (70, 20, 9, 0))[0]
            function = {"name": name, "arguments": f'{{"order": "A{number}"}}'}
            call = {"id": f"call_{turn}", "type": "function", "function": function}
            wire.append({"role": "assistant", "content": None, "tool_calls": [call]})
            found = {
                "role": "tool",
                "tool_call_id": f"call_{turn}",
                "content": "Found: on its way.",
            }
            wire.append(found)
        answer = " ".join(draw.choices(WORDS, k=int(draw.lognormvariate(3.2, 0.5)) + 2))
        wire.append({"role": "assistant", "content": answer * (90 if number == 200 else 1)})
    if number % 23 == 3:
        wire.pop()
        wire = [message for message in wire if message["role"] in {"system", "user"}]
    source = {"run_id": f"run-{number:05}", "trace_id": f"trace-{number}"}
    if number % 3:
        source["thread_id"] = f"thread-{number // 4}"
    tools = [tool(name) for name in (*TOOLS, "lookup_vat")]
    return {"messages": WireMessages(wire), "tools": tools, "source": source}
