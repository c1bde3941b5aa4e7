"""A stand-in of OpenAI's API: an account with fine-tuned models, on a real socket.

It has the routes that only read (models, jobs, events, checkpoints, files, stored chat completions)
and `POST /v1/chat/completions`, which answers and is paid for. Names of fields are those of openai
3.52 (`openai/types`). What a proxy in front of it breaks is drawn from a seed.
"""

import asyncio
import base64
import hashlib
import json
import math
import random
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from langchain_finetune.engines import ENGINES
from langchain_finetune.engines.base import Pace
from langchain_finetune.engines.flow import Retry
from langchain_finetune.engines.openai import ENGINE as OPENAI
from support.fault_proxy import AFTER, BEFORE, FaultProxy
from support.servers import served

KEY = "sk-the-key-of-the-account-that-no-file-may-hold"
BASES = {
    "gpt-4o-mini-2024-07-18": "2027-01-14",
    "gpt-4.1-mini-2025-04-14": "2027-01-14",
    "gpt-4o-2024-08-06": "2027-01-14",
    "gpt-4.1-2025-04-14": None,
    "gpt-3.5-turbo-0125": "2026-10-23",
}
"""Bases and the `shutdown_date` that the list of models gives for them."""

METHODS = ("supervised", "supervised", "dpo", "reinforcement")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add two numbers.",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                "required": ["a", "b"],
            },
        },
    }
]
START = 1_760_000_000
"""Seconds since 1970 at which the oldest job was created (October 2025)."""

_ON_THEIR_WAY_S = 0.2
"""How long after a 429 requests may arrive that were sent at the same time."""

FAULTS = [*BEFORE, *(fault for fault in AFTER if fault != "twice")]
"""What the proxy does: 429 and 503 before the request arrives, 502 and cut answers after."""


def messages(model, number):
    """A short chat without its answer; the same number gives the same chat."""
    return [
        {"role": "system", "content": f"You do sums for shop {model}."},
        {"role": "user", "content": f"What is {number} plus {number + model}?"},
    ]


def training_line(method, model, number):
    """A line of a training file."""
    asked = messages(model, number)
    answer = {"role": "assistant", "content": f"It is {2 * number + model}."}
    if method == "dpo":
        worse = {"role": "assistant", "content": "No idea."}
        wanted = {"preferred_output": [answer], "non_preferred_output": [worse]}
        return {"input": {"messages": asked}, **wanted}
    if method == "reinforcement":
        return {"messages": asked, "answer": str(2 * number + model)}
    return {"messages": [*asked, answer], **({"tools": TOOLS} if number % 3 == 0 else {})}


class OpenAIAccount:
    """What the account has; `app` serves it. Change its attributes before or while it is served.

    Args:
        models: Number of fine-tuned models.
        most: Longest page of any list.
        stored: Whether the server lists stored chat completions.
        limit: Requests per window, and the window's seconds: the next one gets 429.
        retry_after: Whether a 429 has `retry-after`; `x-ratelimit-reset-requests` it has always.
        pause: Seconds before each answer.

    Attributes:
        authorization: The header that each request must have.
        requests: `(method, path with query)` of each request with a valid key.
        refused: Number of requests without it.
        impatient: Requests that came before the time that a 429 had given, and were not on their
            way with the one that got it.
        paid: Bodies of the chat completions that were answered, in order.
        jobs: Jobs by id, newest first; those of the fine-tuned models and some that failed.
        gone: Ids of files that were deleted.
        contents: Bytes by file id, or a function that yields them in parts.
        closed: Beginnings of paths that the key's permissions do not include.
        refuse: Function that returns the refusal of a request for an answer, or None.
        reply: Function that returns the message of an answer, as `answer_to` does.
        completions: Stored chat completions by id, and their messages in `prompts`.
    """

    def __init__(self, models=20, *, most=7, stored=True, limit=None, retry_after=True, pause=0.0):
        self.most, self.stored, self.pause = most, stored, pause
        self.limit, self.retry_after = limit, retry_after
        self.authorization = f"Bearer {KEY}"
        self.requests, self.refused, self.impatient, self.paid = [], 0, 0, []
        self.window, self.wait_until, self.told_at = (0.0, 0), 0.0, 0.0
        self.models, self.jobs, self.events, self.checkpoints = {}, {}, {}, {}
        self.files, self.contents, self.gone = {}, {}, set()
        self.completions, self.prompts = {}, {}
        self.closed = ()
        self.refuse = lambda _body: None
        self.reply = answer_to
        for base, shutdown in BASES.items():
            self._add_model(base, 1_700_000_000, shutdown, owner="system")
        for number in range(models):
            self._add_fine_tune(number)
        for number, status in enumerate(["failed", "cancelled", "running"]):
            self._add_job(f"ftjob-none-{number}", models + number, status=status)
        self.jobs = dict(sorted(self.jobs.items(), key=lambda each: -each[1]["created_at"]))
        self.app = self._app()

    # What there is.

    @property
    def names(self):
        """Names of the fine-tuned models, newest first."""
        found = (job["fine_tuned_model"] for job in self.jobs.values())
        return [name for name in found if name]

    def job_of(self, name):
        return next(job for job in self.jobs.values() if job["fine_tuned_model"] == name)

    def add_file(self, name, purpose, content, size=None):
        """Add a file of bytes, or of the parts that a function yields; return its id."""
        file_id = f"file-{len(self.contents):04}"
        self.contents[file_id] = content
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": len(content) if size is None else size,
            "created_at": START,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
            "expires_at": None,
            "status_details": None,
        }
        return file_id

    def replace_file(self, file_id, content):
        """Let a file have other content."""
        self.contents[file_id] = content
        self.files[file_id]["bytes"] = len(content)

    def delete_file(self, file_id):
        """Delete a file, as its owner would have done."""
        del self.files[file_id]
        self.gone.add(file_id)

    def store(self, model, prompt, answer, created, tools=None, metadata=None):
        """Store a chat completion, as a request with `store=true` does."""
        completion_id = f"chatcmpl-{len(self.completions):05}"
        self.completions[completion_id] = {
            **completion(completion_id, model, [answer], prompt, created),
            "request_id": f"req_{completion_id}",
            "temperature": 0.7,
            "top_p": 1.0,
            "tools": tools,
            "tool_choice": None,
            "response_format": None,
            "metadata": metadata or {"shop": "tea"},
            "input_user": None,
        }
        self.prompts[completion_id] = [
            {"name": None, "content_parts": None, **each, "id": f"{completion_id}-{place}"}
            for place, each in enumerate(prompt)
        ]

    def _add_model(self, name, created, shutdown=None, owner="acme"):
        self.models[name] = {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": owner,
            "shutdown_date": shutdown,
        }

    def _add_fine_tune(self, number):
        base = list(BASES)[number % len(BASES)]
        name = f"ft:{base}:acme:shop-{number}:{hashlib.sha256(b'%d' % number).hexdigest()[:8]}"
        job = self._add_job(f"ftjob-{number:04}", number, base, name)
        if BASES[base] != "2026-10-23":  # A model that was shut down is not listed any more.
            # The API need not give the date of a fine-tuned model itself.
            self._add_model(name, job["finished_at"], BASES[base] if number % 2 else None)
        for step in (10, 20):
            checkpoint = f"{name}:ckpt-step-{step}"
            self.checkpoints[job["id"]].append(
                {
                    "id": f"ftckpt_{number:04}_{step}",
                    "object": "fine_tuning.job.checkpoint",
                    "created_at": job["created_at"] + step,
                    "fine_tuned_model_checkpoint": checkpoint,
                    "fine_tuning_job_id": job["id"],
                    "metrics": {"step": step, "train_loss": 1 / step, "valid_loss": None},
                    "step_number": step,
                }
            )
            if name in self.models:
                self._add_model(checkpoint, job["finished_at"])
        for place in range(number % 4 * 5):
            answer = {"role": "assistant", "content": f"It is {2 * place + number}."}
            tools = TOOLS if place % 3 == 0 else None
            self.store(name, messages(number, place), answer, START + place, tools)

    def _add_job(self, job_id, number, base="gpt-4o-mini-2024-07-18", name=None, status=None):
        method = METHODS[number % len(METHODS)]
        lines = [training_line(method, number, place) for place in range(12)]
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        training = self.add_file(f"shop-{number}.jsonl", "fine-tune", content)
        validation = None
        if number % 3:
            part = b"".join(content.splitlines(keepends=True)[:4])
            validation = self.add_file(f"shop-{number}-check.jsonl", "fine-tune", part)
        table = b"step,train_loss,valid_loss\n" + b"".join(
            b"%d,%.4f,\n" % (step, 2 / step) for step in range(1, 31)
        )
        coded = table if number % 5 == 1 else base64.b64encode(table)
        results = [self.add_file("step_metrics.csv", "fine-tune-results", coded)] if name else []
        if number % 4 == 1:
            self.delete_file(training)
        if number % 7 == 2 and validation:
            self.delete_file(validation)
        if number % 10 == 3 and results:
            self.delete_file(results[0])
        chosen = {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8}
        created = START + 86_400 * number
        job = self.jobs[job_id] = {
            "id": job_id,
            "object": "fine_tuning.job",
            "created_at": created,
            "error": {"code": "bad", "message": "No.", "param": None} if status else None,
            "fine_tuned_model": name,
            "finished_at": created + 3600 if name else None,
            "hyperparameters": chosen,
            "model": base,
            "organization_id": "org-acme",
            "result_files": results,
            "seed": 42 + number,
            "status": status or "succeeded",
            "trained_tokens": 4000 if name else None,
            "training_file": training,
            "validation_file": validation,
            "estimated_finish": None,
            "integrations": [],
            "metadata": {"shop": str(number)},
            "method": {"type": method, method: {"hyperparameters": chosen}},
        }
        self.checkpoints[job_id] = []
        self.events[job_id] = [
            {
                "id": f"ftevent-{job_id}-{place}",
                "object": "fine_tuning.job.event",
                "created_at": created + place,
                "level": "info",
                "message": f"Step {place}: training loss={2 / (place + 1):.2f}",
                "data": {"step": place, "train_loss": 2 / (place + 1)},
                "type": "metrics",
            }
            for place in reversed(range(10 + number))
        ]
        return job

    # The routes.

    def _app(self):
        app = FastAPI()
        app.middleware("http")(self._guard)
        app.get("/v1/models")(self._all_models)
        app.get("/v1/models/{name:path}")(self._model)
        app.get("/v1/fine_tuning/jobs")(self._all_jobs)
        app.get("/v1/fine_tuning/jobs/{job}")(self._job)
        for kind in ("events", "checkpoints"):
            app.get(f"/v1/fine_tuning/jobs/{{job}}/{kind}")(self._of_job(kind))
        app.get("/v1/files")(self._all_files)
        app.get("/v1/files/{file}")(self._file)
        app.get("/v1/files/{file}/content")(self._content)
        app.post("/v1/chat/completions")(self._answer)
        if self.stored:
            app.get("/v1/chat/completions")(self._stored)
            app.get("/v1/chat/completions/{completion}/messages")(self._messages)
        return app

    async def _guard(self, request, proceed):
        await asyncio.sleep(self.pause)
        if request.headers.get("authorization") != self.authorization:
            self.refused += 1
            return refusal(401, "Incorrect API key provided.", "invalid_api_key")
        query = f"?{request.url.query}" if request.url.query else ""
        self.requests.append((request.method, request.url.path + query))
        if request.url.path.startswith(self.closed):
            return refusal(403, "Missing scopes: api.files.read.", "missing_scope")
        headers = {}
        if self.limit:
            headers = self._limits()
            if time.monotonic() < self.wait_until:
                return refusal(429, "Rate limit reached.", "rate_limit_exceeded", headers)
        answer = await proceed(request)
        answer.headers.update({"x-request-id": f"req_{len(self.requests)}", **headers})
        return answer

    def _limits(self):
        """Count a request and return the headers that tell of the limit."""
        most, seconds = self.limit
        now = time.monotonic()
        self.impatient += self.told_at + _ON_THEIR_WAY_S < now < self.wait_until
        begun, used = self.window
        if now >= begun + seconds:
            begun, used = now, 0
        self.window = begun, used + 1
        rest = max(begun + seconds - now, 0.001)
        headers = {
            "x-ratelimit-limit-requests": str(most),
            "x-ratelimit-limit-tokens": "200000",
            "x-ratelimit-remaining-requests": str(max(most - used - 1, 0)),
            "x-ratelimit-remaining-tokens": "199000",
            "x-ratelimit-reset-requests": f"{math.ceil(rest * 1000)}ms",
            "x-ratelimit-reset-tokens": "6ms",
        }
        if used >= most:
            if now >= self.wait_until:
                self.told_at = now
            self.wait_until = now + rest
            if self.retry_after:
                headers["retry-after"] = f"{rest + 0.001:.3f}"
        return headers

    def _page(self, entries, request):
        asked = dict(request.query_params)
        entries = list(entries)
        if asked.get("after"):
            ids = [each["id"] for each in entries]
            if asked["after"] not in ids:
                return refusal(400, "The cursor is unknown.", None)
            entries = entries[ids.index(asked["after"]) + 1 :]
        page = entries[: min(int(asked.get("limit", 20)), self.most)]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return {"object": "list", "data": page, **ends, "has_more": len(page) < len(entries)}

    def _all_models(self):
        return {"object": "list", "data": list(self.models.values())}

    def _model(self, name: str):
        missing = f"The model '{name}' does not exist or you do not have access to it."
        return self.models.get(name) or refusal(404, missing, "model_not_found")

    def _all_jobs(self, request: Request):
        return self._page(self.jobs.values(), request)

    def _job(self, job: str):
        return self.jobs.get(job) or refusal(404, f"No such job: {job}", None)

    def _all_files(self, request: Request):
        return self._page(list(self.files.values())[::-1], request)

    def _file(self, file: str):
        return self.files.get(file) or refusal(404, f"No such File object: {file}", None)

    def _of_job(self, kind):
        def listed(job: str, request: Request):
            if job not in self.jobs:
                return refusal(404, f"No such job: {job}", None)
            return self._page(getattr(self, kind)[job], request)

        return listed

    def _content(self, file: str):
        if file not in self.files:
            return refusal(404, f"No such File object: {file}", None)
        content = self.contents[file]
        if not callable(content):
            return Response(content, media_type="application/octet-stream")
        length = {"content-length": str(self.files[file]["bytes"])}
        return StreamingResponse(content(), headers=length, media_type="application/octet-stream")

    def _stored(self, request: Request):
        asked = request.query_params
        found = list(self.completions.values())
        if "model" in asked:
            found = [each for each in found if each["model"] == asked["model"]]
        for key, value in asked.items():
            if key.startswith("metadata["):
                name = key[len("metadata[") : -1]
                found = [each for each in found if each["metadata"].get(name) == value]
        return self._page(found[::-1] if asked.get("order") == "desc" else found, request)

    def _messages(self, completion: str, request: Request):
        if completion not in self.prompts:
            return refusal(404, f"No such chat completion: {completion}", None)
        return self._page(self.prompts[completion], request)

    async def _answer(self, request: Request):
        body = await request.json()
        if body["model"] not in self.models:
            return self._model(body["model"])
        if refused := self.refuse(body):
            return refused
        form = body.get("response_format") or {"type": "text"}
        if form["type"] not in {"text", "json_object", "json_schema"}:
            told = "Input should be 'text', 'json_object' or 'json_schema'."
            return refusal(400, f"'response_format.type': {told}", "invalid_request_error")
        asked_before = self.paid.count(body)
        self.paid.append(body)
        answers = [self.reply(body, asked_before, choice) for choice in range(body.get("n") or 1)]
        if body.get("store"):
            tools = body.get("tools")
            noted = body.get("metadata")
            self.store(body["model"], body["messages"], answers[0], int(time.time()), tools, noted)
        completion_id = f"chatcmpl-paid-{len(self.paid)}"
        return completion(completion_id, body["model"], answers, body["messages"], int(time.time()))


def answer_to(body, asked_before=0, choice=0):
    """The answer to a request: the same at temperature 0, another one each time above it.

    A request with tools is answered by a call of the first one, except each third.
    """
    drawn = (asked_before, choice) if body.get("temperature", 1) else ()
    asked = json.dumps([body["model"], body["messages"], drawn], sort_keys=True)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    tools = body.get("tools")
    if tools and body.get("tool_choice") != "none" and int(digest, 16) % 3:
        numbers = {"a": int(digest[:2], 16), "b": int(digest[2:4], 16)}
        function = {"name": tools[0]["function"]["name"], "arguments": json.dumps(numbers)}
        calls = [{"id": f"call_{digest[:12]}", "type": "function", "function": function}]
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}
    return {"role": "assistant", "content": f"Answer {digest[:12]}.", "refusal": None}


def completion(completion_id, model, answers, prompt, created):
    """A chat completion; a token is a word."""
    asked = sum(len(str(each.get("content")).split()) for each in prompt)
    said = sum(len(json.dumps(each).split()) for each in answers)
    choices = [
        {
            "index": index,
            "message": answer,
            "finish_reason": "tool_calls" if answer.get("tool_calls") else "stop",
            "logprobs": None,
        }
        for index, answer in enumerate(answers)
    ]
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": choices,
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def refusal(status, message, code, headers=None, param=None):
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)


@contextmanager
def openai_account(account=None, *, share=0.0, seed=0, faults=FAULTS):
    """Serve an account and yield its address, which ends in `/v1`.

    Each request gets one of the faults with the probability `share`.
    """
    chance = random.Random(seed)

    def choose(_number, _line):
        return chance.choice(faults) if chance.random() < share else None

    with ExitStack() as stack:
        url = stack.enter_context(served((account or OpenAIAccount()).app))
        if share:
            url = stack.enter_context(FaultProxy(url, choose)).url
        yield f"{url}/v1"


def quick_engine(monkeypatch, name="quick", **retry):
    """OpenAI's engine under a name, with short pauses between its attempts."""
    pace = Pace(retry=Retry(first_s=0.01, longest_s=0.05, **retry))
    monkeypatch.setitem(ENGINES, name, replace(OPENAI, name=name, pace=pace))
    return name
