"""Fills an engine with what a busy team leaves there: `page_data.py HOME`, then look at its page.

Traces are those of a real `create_agent` graph around a fake model, written by LangSmith's own
tracer; copies of them, with ids and times of their own, make the many.
"""

import datetime as dt
import json
import os
import sys
import time
import uuid
from itertools import islice

import httpx2
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langsmith import Client, tracing_context

from langchain_finetune.home import RunningEngine, read_key

SYSTEM = "You help customers of a bicycle shop. Look orders up before you speak of them."
SUBJECTS = ("mountain bike", "helmet", "child seat", "tyre", "e-bike battery", "saddle", "bell")
TAGS = ("web", "phone", "beta")


@tool
def find_order(number: int) -> str:
    """Look up an order."""
    if number % 11 == 0:
        raise ValueError(f"There is no order {number}.")
    return json.dumps({"order": number, "state": "shipped", "days": number % 5})


@tool
def ask_colleague(question: str) -> str:
    """Ask a person."""
    return "A colleague answers tomorrow."


class ShopModel(GenericFakeChatModel):
    """Says what it is given, whatever it is asked."""

    def bind_tools(self, tools, **_):
        return self.bind(tools=[convert_to_openai_tool(each) for each in tools])


def shop_agent(number):
    """An agent, and its questions, in one thread."""
    subject = SUBJECTS[number % len(SUBJECTS)]
    order = 4711 + number
    call = {"name": "find_order", "args": {"number": order}, "id": f"call_{number}"}
    says = [
        AIMessage("", tool_calls=[call], usage_metadata=_used(120)),
        AIMessage(
            f"Your {subject} (order {order}) has been shipped and should arrive in"
            f" {order % 5} days. Is there anything else that I can do for you?",
            usage_metadata=_used(180),
        ),
        AIMessage(f"You're welcome, enjoy the {subject}!", usage_metadata=_used(210)),
    ]
    agent = create_agent(
        ShopModel(messages=iter(says)),
        [find_order, ask_colleague],
        system_prompt=SYSTEM,
        checkpointer=InMemorySaver(),
    )
    return agent, [f"Hello, where is my {subject}? It is order {order}.", "Great, thank you!"]


def _used(sent):
    return {"input_tokens": sent, "output_tokens": 30, "total_tokens": sent + 30}


def trace_agents(client, count, project):
    """Trace some conversations with the agent."""
    for number in range(count):
        agent, questions = shop_agent(number)
        config = {
            "configurable": {"thread_id": f"thread-{number}"},
            "tags": [TAGS[number % len(TAGS)]],
            "run_name": "Shop assistant",
        }
        with tracing_context(enabled=True, client=client, project_name=project):
            for question in questions:
                try:
                    agent.invoke({"messages": [{"role": "user", "content": question}]}, config)
                except ValueError:
                    break
    wait_for_all_tracers()
    client.flush()


def copy_traces(client, count, project):
    """Copy a project's traces, with ids and times of their own, until there are `count`."""
    roots = list(client.list_runs(project_name=project, is_root=True))
    traces = [list(client.list_runs(trace_id=root.trace_id)) for root in roots]
    for number in range(count - len(roots)):
        source = traces[number % len(traces)]
        back = dt.timedelta(minutes=17 * (number + 1))
        text = json.dumps([_posted(run, back) for run in source], default=str)
        for run in source:
            text = text.replace(str(run.id), str(uuid.uuid4()))
        client.multipart_ingest(create=json.loads(text))


def _posted(run, back):
    fields = ("id", "name", "run_type", "inputs", "outputs", "error", "extra", "tags")
    order = run.dotted_order.split(".")
    moved = [_stamp(part, back) for part in order]
    return {name: getattr(run, name) for name in fields} | {
        "trace_id": run.trace_id,
        "parent_run_id": run.parent_run_id,
        "dotted_order": ".".join(moved),
        "session_id": run.session_id,
        "start_time": (run.start_time - back).isoformat(),
        "end_time": run.end_time and (run.end_time - back).isoformat(),
    }


def _stamp(part, back):
    stamp, _, run_id = part.partition("Z")
    moved = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%S%f") - back
    return f"{moved:%Y%m%dT%H%M%S%f}Z{run_id}"


def make_datasets(client, count, *, examples=12):
    """Make datasets of chats with tool calls, some of them long."""
    for number in range(count):
        name = f"{SUBJECTS[number % len(SUBJECTS)]} questions {number + 1}"
        dataset = client.create_dataset(
            name, description="Made by the support team." * (number % 2)
        )
        client.create_examples(
            dataset_id=dataset.id,
            examples=[shop_example(place, turns=1 + 6 * (place % 3)) for place in range(examples)],
        )


def shop_example(number, turns=1):
    """One example: a chat of some turns, with a tool."""
    call = {"name": "find_order", "arguments": json.dumps({"number": 4711 + number})}
    chat = [{"role": "system", "content": SYSTEM}]
    for turn in range(turns):
        call_id = f"call_{turn}"
        chat += [
            {"role": "user", "content": f"Where is order {4711 + number}, part {turn}?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": call_id, "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": call_id, "content": '{"state": "shipped"}'},
            {"role": "assistant", "content": f"It was shipped, it comes in {turn + 1} days."},
        ]
    function = {
        "name": "find_order",
        "description": "Look up an order.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
    }
    tools = [{"type": "function", "function": function}]
    return {
        "inputs": {"messages": chat[:-1], "tools": tools},
        "reference_outputs": {"message": chat[-1]},
    }


def start_jobs(url, key, client, count, *, waiting=0):
    """Start jobs by the page's form, and wait until all but the last ones have ended."""
    browser = httpx2.Client(
        base_url=url, headers={"Origin": url}, follow_redirects=True, timeout=60, trust_env=False
    )
    browser.post("/ui/sign-in", data={"api_key": key})
    datasets = list(islice(client.list_datasets(), count))
    jobs = []
    for number in range(count):
        last = number >= count - waiting
        form = {
            "source": f"dataset:{datasets[number % len(datasets)].id}",
            "model": "nano",
            "method": "supervised",
            "suffix": f"shop-{number + 1}",
            "token": f"seed {number}",
            # See `fake_trainer.py`: one that fails, and the last ones wait.
            "seed": "3" if last else "1" if number % 9 == 5 else "0",
            "validation_share": "20" if number % 2 else "",
        }
        answer = browser.post("/ui/jobs/new", data=form)
        jobs.append(str(answer.url).rpartition("/")[2])
    headers = {"Authorization": f"Bearer {key}"}
    ended = {"succeeded", "failed", "cancelled"}
    for job in jobs[: count - waiting]:
        address = f"/v1/fine_tuning/jobs/{job}"
        while browser.get(address, headers=headers).json()["status"] not in ended:
            time.sleep(0.1)
    browser.close()


def fill(url, key, *, runs=500, datasets=20, jobs=30):
    """Fill an engine whose trainer is the tests' fake."""
    os.environ |= {"LANGSMITH_API_KEY": key, "LANGCHAIN_CALLBACKS_BACKGROUND": "true"}
    client = Client(api_url=url, api_key=key)
    trace_agents(client, min(runs, 24), "shop")
    copy_traces(client, runs, "shop")
    for number, run in enumerate(client.list_runs(project_name="shop", is_root=True, limit=60)):
        if number % 3 == 0:
            client.create_feedback(run.id, "user_score", score=float(number % 2))
    make_datasets(client, datasets)
    start_jobs(url, key, client, jobs, waiting=min(jobs, 3))
    client.cleanup()


if __name__ == "__main__":
    from pathlib import Path

    home = Path(sys.argv[1])
    fill(RunningEngine.read(home).url, read_key(home).get_secret_value())
