"""OpenAI's files and fine-tuning API in memory: a pure function from a request to an answer."""

import itertools
import json
import re
from dataclasses import dataclass, field

import httpx2
from fastapi import FastAPI, Request, Response

STEPS = ["validating_files", "queued", "running", "running", "odd_new_state", "succeeded"]


@dataclass
class LightEngine:
    """Each look at a job moves it on and lets something happen to it.

    Attributes:
        now: Seconds since 1970.
        page: Most entries of a page, whatever is asked for.
        lag_s: How long a new job is missing from the list.
        ends_as: The last state of every job.
        ends: Whether jobs end; otherwise they go on for ever.
    """

    now: float = 1.8e9
    page: int = 3
    lag_s: float = 0.0
    ends_as: str = "succeeded"
    ends: bool = True
    files: dict = field(default_factory=dict)
    jobs: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    gone: set = field(default_factory=set)
    asked: list = field(default_factory=list)
    job_requests: list = field(default_factory=list)
    count: itertools.count = field(default_factory=lambda: itertools.count(1))

    def __call__(self, request):
        """Answer a request of `httpx2.MockTransport`."""
        route = request.method, request.url.path.removeprefix("/v1")
        self.asked.append(route)
        query = dict(request.url.params)
        for method, pattern, answer in self._routes():
            if method == route[0] and (found := re.fullmatch(pattern, route[1])):
                status, body = answer(request, query, *found.groups())
                return httpx2.Response(status, json=body)
        return refusal(404, "no such route")

    def _routes(self):
        yield "POST", "/files", self._upload
        yield "GET", "/files", lambda _, query: self._list(self.files.values(), query)
        yield "GET", "/files/([^/]+)", lambda *a: found(self.files.get(a[2]))
        yield "DELETE", "/files/([^/]+)", self._delete
        yield "POST", "/fine_tuning/jobs", self._create
        yield "GET", "/fine_tuning/jobs", self._list_jobs
        yield "GET", "/fine_tuning/jobs/([^/]+)", self._retrieve
        yield "POST", "/fine_tuning/jobs/([^/]+)/(cancel|pause|resume)", self._steer
        yield "GET", "/fine_tuning/jobs/([^/]+)/checkpoints", self._checkpoints
        yield (
            "GET",
            "/fine_tuning/jobs/([^/]+)/events",
            lambda _, query, job: self._list(self.events[job], query),
        )
        yield "GET", "/models/(.+)", self._model

    def _upload(self, request, query):
        part = rb'filename="([^"]+)".*?\r\n\r\n(.*?)\r\n--'
        name, content = re.search(part, request.content, re.DOTALL).groups()
        file_id = f"file-{next(self.count)}"
        self.files[file_id] = {
            "id": file_id, "object": "file", "filename": name.decode(), "bytes": len(content),
            "purpose": "fine-tune", "status": "processed", "created_at": int(self.now),
        }  # fmt: skip
        return 200, self.files[file_id]

    def _delete(self, request, query, file_id):
        self.files.pop(file_id, None)
        return 200, {"id": file_id, "object": "file", "deleted": True}

    def _create(self, request, query):
        asked = json.loads(request.content)
        self.job_requests.append(asked)
        job_id = f"ftjob-{next(self.count)}"
        self.jobs[job_id] = {
            "id": job_id, "object": "fine_tuning.job", "created_at": int(self.now),
            "visible_at": self.now + self.lag_s, "model": asked["model"], "status": STEPS[0],
            "looks": 0, "metadata": asked.get("metadata"), "fine_tuned_model": None,
            "method": asked.get("method"), "finished_at": None, "trained_tokens": None,
            "error": {}, "result_files": [],
            "seed": 1, "organization_id": "o", "training_file": asked["training_file"],
        }  # fmt: skip
        self.events[job_id] = []
        self._happen(job_id, "Created")
        return 200, self.jobs[job_id]

    def _happen(self, job_id, message):
        number = next(self.count)
        self.events[job_id].append(
            {
                "id": f"ftevent-{number}",
                "object": "fine_tuning.job.event",
                "created_at": int(self.now),
                "level": "info",
                "type": "message",
                "message": f"{message} {number}",
                "data": {"step": number},
            }
        )

    def _retrieve(self, request, query, job_id):
        job = self.jobs.get(job_id)
        if job is None:
            return found(None)
        if job["status"] not in {"succeeded", "failed", "cancelled"}:
            job["looks"] += 1
            last = self.ends and job["looks"] >= len(STEPS) - 1
            job["status"] = self.ends_as if last else STEPS[min(job["looks"], len(STEPS) - 2)]
            for _ in range(job["looks"] % 3):
                self._happen(job_id, "Went on")
            if last:
                self._happen(job_id, "Ended")
                job["finished_at"] = int(self.now)
                if self.ends_as == "succeeded":
                    job["fine_tuned_model"] = f"ft:{job['model']}:o::{job_id}"
        return 200, job

    def _steer(self, request, query, job_id, verb):
        job = self.jobs[job_id]
        if job["status"] in {"succeeded", "failed", "cancelled"}:
            return 400, {"error": {"message": "It has ended.", "code": None}}
        job["status"] = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}[verb]
        return 200, job

    def _checkpoints(self, request, query, job_id):
        kept = [
            {
                "id": f"ftckpt-{step}",
                "object": "fine_tuning.job.checkpoint",
                "step_number": step,
                "created_at": int(self.now),
                "fine_tuning_job_id": job_id,
                "fine_tuned_model_checkpoint": f"ft:m:o::{job_id}:ckpt-step-{step}",
                "metrics": {"step": step, "valid_loss": 1 / step, "train_loss": None},
            }
            for step in (10, 20, 30)
        ]
        return self._list(kept, query)

    def _list_jobs(self, request, query):
        wanted = {
            name[len("metadata[") : -1]: value
            for name, value in query.items()
            if name.startswith("metadata[")
        }
        shown = [
            job
            for job in self.jobs.values()
            if job["visible_at"] <= self.now and wanted.items() <= (job["metadata"] or {}).items()
        ]
        return self._list(shown, query)

    def _list(self, entries, query):
        newest_first = list(entries)[::-1]
        ids = [entry["id"] for entry in newest_first]
        start = ids.index(query["after"]) + 1 if "after" in query else 0
        page = newest_first[start : start + self.page]
        more = start + len(page) < len(newest_first)
        return 200, {"object": "list", "data": page, "has_more": more}

    def _model(self, request, query, name):
        served = {job["fine_tuned_model"] for job in self.jobs.values()} - self.gone
        if name in served or not name.startswith("ft:"):
            return 200, {"id": name, "object": "model", "created": 1, "owned_by": "o"}
        body = {"error": {"message": "No such model.", "code": "model_not_found"}}
        return 404, body


def found(entry):
    if entry is None:
        return 404, {"error": {"message": "Not found.", "code": None}}
    return 200, entry


def refusal(status, message, code=None, **headers):
    body = {"error": {"message": message, "code": code, "type": "x", "param": None}}
    return httpx2.Response(status, json=body, headers=headers)


def app_of(engine):
    """Return an ASGI application of an engine, or of any function from a request to an answer."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
    async def answer(request: Request):
        content = await request.body()
        got = engine(httpx2.Request(request.method, str(request.url), content=content))
        return Response(got.content, got.status_code, dict(got.headers))

    return app
