"""Together's API in memory, behind a real socket: it refuses what its documents say is refused.

Written from the types and docstrings of together 3.1.1. Where they leave open what is refused (a
second endpoint of the same name, a file whose content never came), it is the stricter.
"""

import datetime as dt
import hashlib
import io
import itertools
import json
import re
import tarfile
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from starlette.datastructures import FormData

KEY = "k-secret-of-together"
BASE = "Qwen/Qwen3-8B"
STATES = ["pending", "queued", "running", "compressing", "uploading", "completed"]
ENDED = {"completed", "cancelled", "error"}
EPOCH = 1.8e9

JOB_FIELDS = {
    *("training_file", "validation_file", "model", "suffix", "n_epochs", "n_evals"),
    *("n_checkpoints", "batch_size", "packing", "learning_rate", "warmup_ratio", "max_grad_norm"),
    *("weight_decay", "lr_scheduler", "early_stopping_enabled", "early_stopping_patience"),
    *("training_type", "training_method", "random_seed", "from_checkpoint"),
}
PRICE_FIELDS = {
    *("training_file", "validation_file", "model", "n_epochs", "n_evals", "training_method"),
    *("training_type", "from_checkpoint"),
}
MESSAGE_KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "weight", "reasoning", "reasoning_content"},
    "tool": {"role", "content", "tool_call_id"},
}


class RefusedError(Exception):
    def __init__(self, status, message, body=None):
        super().__init__(message)
        self.status = status
        self.body = body or {"error": {"message": message, "type": "invalid_request_error"}}


def require(condition, message, status=400):
    if not condition:
        raise RefusedError(status, message)


@dataclass
class TogetherHost:
    """Each look at a job, a file or a deployment moves it on.

    Attributes:
        now: Seconds since 1970.
        lag_s: How long what was created is missing from lists.
        job_ends_as: The last state of every job.
        deployment_ends_as: The state that deployments come to.
        price: What every job costs; None where there is no estimate.
        archive: The weights of every model, as a tar.
        url: Where it is served.
    """

    now: float = EPOCH
    lag_s: float = 0.0
    job_ends_as: str = "completed"
    deployment_ends_as: str = "READY"
    looks_until_ready: int = 2
    price: float | None = 1.5
    user_limit: float = 100.0
    archive: bytes = b""
    url: str = ""
    files: dict = field(default_factory=dict)
    contents: dict = field(default_factory=dict)
    jobs: dict = field(default_factory=dict)
    requests: dict = field(default_factory=dict)
    endpoints: dict = field(default_factory=dict)
    deployments: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    chats: list = field(default_factory=list)
    count: itertools.count = field(default_factory=lambda: itertools.count(1))

    def time(self, seconds=None):
        return dt.datetime.fromtimestamp(
            self.now if seconds is None else seconds, dt.UTC
        ).isoformat()

    def running(self):
        """Return the deployments that are paid for."""
        idle = {"STOPPED", "STOPPING", "FAILED"}
        return [one for one in self.deployments.values() if one["state"] not in idle]

    async def answer(self, request: Request):
        path, method = request.url.path, request.method
        self.asked.append((method, path))
        if path.startswith("/bucket/"):
            return self.put(path.rpartition("/")[2], request, await request.body())
        require(request.headers.get("authorization") == f"Bearer {KEY}", "Wrong key.", 401)
        body = await _body(request)
        query = dict(request.query_params)
        for known, pattern, do in self.routes():
            if known == method and (found := re.fullmatch(pattern, path)):
                return do(body, query, request, *found.groups())
        raise RefusedError(404, f"No such route: {method} {path}")

    def routes(self):
        project = "/v2/projects/prj_1"
        dep = f"{project}/endpoints/([^/]+)/deployments"
        yield "POST", "/v1/files", self.upload
        yield "GET", "/v1/files", lambda *_: {"data": list(self.files.values())}
        yield "GET", "/v1/files/([^/]+)", self.file
        yield "DELETE", "/v1/files/([^/]+)", self.delete_file
        yield "POST", "/v1/files/([^/]+)/preprocess", self.preprocess
        yield "GET", "/v1/fine-tunes/models/limits", self.limits
        yield "POST", "/v1/fine-tunes/estimate-price", self.estimate
        yield "POST", "/v1/fine-tunes", self.create
        yield "GET", "/v1/fine-tunes", self.list_jobs
        yield "GET", "/v1/fine-tunes/([^/]+)", self.job
        yield "POST", "/v1/fine-tunes/([^/]+)/cancel", self.cancel
        yield "GET", "/v1/fine-tunes/([^/]+)/events", self.events
        yield "GET", "/v1/fine-tunes/([^/]+)/metrics", self.metrics
        yield "GET", "/v1/fine-tunes/([^/]+)/checkpoints", self.checkpoints
        yield "GET", "/v1/finetune/download", self.download
        yield "GET", "/v3/whoami", self.whoami
        yield "GET", f"{project}/configs", self.configs
        yield "POST", f"{project}/endpoints", self.make_endpoint
        yield "GET", f"{project}/endpoints", self.list_endpoints
        yield "GET", f"{project}/endpoints/([^/]+)", lambda *a: self.shown(self.endpoint(a[3]))
        yield "PATCH", f"{project}/endpoints/([^/]+)", self.route
        yield "DELETE", f"{project}/endpoints/([^/]+)", self.delete_endpoint
        yield "POST", dep, self.deploy
        yield "GET", dep, self.list_deployments
        yield "GET", f"{dep}/([^/]+)", self.deployment
        yield "PATCH", f"{dep}/([^/]+)", self.scale
        yield "DELETE", f"{dep}/([^/]+)", self.delete_deployment
        yield "POST", "/v1/chat/completions", self.chat

    # Files.

    def upload(self, body, query, request):
        require(isinstance(body, FormData), "The form must be multipart.")
        require(set(body) == {"purpose", "file_name", "file_type", "checksum"}, "Wrong fields.")
        require(body["purpose"] == "fine-tune" and body["file_type"] == "jsonl", "Wrong purpose.")
        checksum = body["checksum"]
        require(re.fullmatch("[0-9a-f]{64}", checksum), "The checksum must be SHA-256 in hex.")
        for file in self.files.values():
            if file["checksum"] == checksum:
                raise RefusedError(409, "It exists.", {"file_id": file["id"]})
        name = f"file-{next(self.count)}"
        self.files[name] = {
            "id": name, "object": "file", "bytes": 0, "created_at": int(self.now),
            "filename": body["file_name"], "FileType": "jsonl", "purpose": "fine-tune",
            "processing_status": "PENDING", "checksum": checksum, "looks": 0,
        }  # fmt: skip
        headers = {"Location": f"{self.url}/bucket/{name}?sig=1", "X-Together-File-Id": name}
        return Response(status_code=302, headers=headers)

    def put(self, name, request, content):
        require("authorization" not in request.headers, "The key was sent to the bucket.")
        require(request.method == "PUT" and name in self.files, "No such upload.", 403)
        wanted = self.files[name]["checksum"]
        require(hashlib.sha256(content).hexdigest() == wanted, "The content is another.")
        self.contents[name] = content
        self.files[name]["bytes"] = len(content)
        return Response(status_code=200)

    def file(self, body, query, request, name):
        require(name in self.files, "No such file.", 404)
        file = self.files[name]
        if file["processing_status"] in {"QUEUED", "RUNNING"}:
            file["looks"] += 1
            state = ["QUEUED", "RUNNING", "COMPLETED"][min(file["looks"], 2)]
            file["processing_status"] = state
            if state == "COMPLETED":
                file["validation_report"] = self.report(self.contents[name])
                if not file["validation_report"]["valid"]:
                    file["processing_status"] = "INVALID_FORMAT"
        return file

    def preprocess(self, body, query, request, name):
        require(name in self.files, "No such file.", 404)
        require(name in self.contents, "Its content has not come.")
        if self.files[name]["processing_status"] == "PENDING":
            self.files[name]["processing_status"] = "QUEUED"
        return self.files[name]

    def delete_file(self, body, query, request, name):
        require(name in self.files, "No such file.", 404)
        used = {job["training_file"] for job in self.jobs.values()}
        require(name not in used, "A job uses it.")
        self.contents.pop(name, None)
        del self.files[name]
        return {"id": name, "deleted": True}

    def report(self, content):
        lines = [json.loads(line) for line in content.decode().splitlines()]
        try:
            kinds = {check_row(line) for line in lines}
            require(len(kinds) == 1, "The rows are of several formats.")
        except RefusedError as error:
            return {"valid": False, "error": str(error), "error_type": "INVALID_FORMAT"}
        return {"valid": True, "nlines": len(lines), "dataset_format": kinds.pop()}

    # Jobs.

    def limits(self, body, query, request):
        name = query.get("model_name")
        require(name == BASE or name in self.jobs, f"No such model: {name}", 404)
        return {
            "model_name": name, "default_gradient_accumulation_steps": 1,
            "lora_training": {
                "default_rank": 16, "max_rank": 64, "min_batch_size": 8, "max_batch_size": 32,
                "max_batch_size_dpo": 16, "target_modules": ["q_proj"],
            },
            "full_training": {"min_batch_size": 8, "max_batch_size": 32, "max_batch_size_dpo": 16},
            "max_learning_rate": 0.1, "min_learning_rate": 1e-8, "max_num_checkpoints": 10,
            "max_num_epochs": 20, "max_num_evals": 100, "max_seq_length_sft": 8192,
            "max_seq_length_dpo": 8192, "min_max_seq_length": 128, "merge_output_lora": True,
            "supports_full_training": True, "supports_reasoning": True, "supports_tools": True,
            "supports_vision": False,
        }  # fmt: skip

    def ready_file(self, name, what):
        require(name in self.files, f"No such {what} file.")
        state = self.files[name]["processing_status"]
        return state == "COMPLETED"

    def estimate(self, body, query, request):
        require(set(body) <= PRICE_FIELDS, f"Unknown: {sorted(set(body) - PRICE_FIELDS)}")
        require(body.get("training_method"), "No method.")
        if not self.ready_file(body["training_file"], "training"):
            reason = "train_file_not_validated"
            return {"estimation_available": False, "unavailable_reason": reason}
        if self.price is None:
            return {"estimation_available": False, "unavailable_reason": "multimodal_dataset"}
        return {
            "estimation_available": True,
            "estimated_total_price": self.price * body["n_epochs"],
            "estimated_train_token_count": 1000,
            "user_limit": self.user_limit,
            "allowed_to_proceed": self.price <= self.user_limit,
        }

    def create(self, body, query, request):
        require(set(body) <= JOB_FIELDS, f"Unknown: {sorted(set(body) - JOB_FIELDS)}")
        start = body.get("from_checkpoint")
        require((body.get("model") is None) != (start is None), "Either model or from_checkpoint.")
        parent = self.jobs.get((start or "").partition(":")[0])
        require(parent if start else body["model"] == BASE, "No such model.", 404)
        require(re.fullmatch("[A-Za-z0-9_-]{1,40}", body.get("suffix", "x")), "Wrong suffix.")
        require(self.ready_file(body["training_file"], "training"), "The file is not checked.")
        kind = self.files[body["training_file"]]["validation_report"]["dataset_format"]
        method = body["training_method"]
        wanted = "PREFERENCE" if method["method"] == "dpo" else "CONVERSATION"
        require(kind == wanted, f"A file of {kind} for {method['method']}.")
        require(method["method"] == "dpo" or method["train_on_inputs"] is False, "Not our targets.")
        if body.get("validation_file"):
            require(self.ready_file(body["validation_file"], "validation"), "It is not checked.")
        require(bool(body.get("validation_file")) == (body["n_evals"] > 0), "n_evals without file.")
        require(1 <= body["n_epochs"] <= 20, "Wrong n_epochs.")
        require(1e-8 <= body["learning_rate"] <= 0.1, "Wrong learning rate.")
        weights = body.get("training_type")
        require(bool(weights) != bool(start), "The training type is the parent's.")
        weights = weights or parent["training_type"]
        require(weights["type"] == "Full" or weights["lora_r"] <= 64, "Wrong rank.")
        name = f"ft-{next(self.count)}"
        model = parent["model"] if parent else body["model"]
        suffix = body.get("suffix")
        self.requests[name] = body
        self.jobs[name] = {
            "id": name, "status": "pending", "user_id": "u", "model": model,
            "created_at": self.time(), "updated_at": self.time(), "suffix": suffix,
            "training_file": body["training_file"], "training_type": weights,
            "training_method": method, "from_checkpoint": start,
            "model_output_name": f"acme/{model.split('/')[1]}-{suffix}-{next(self.count):08x}",
            "visible_at": self.now + self.lag_s, "looks": 0,
        }  # fmt: skip
        return self.truncated(self.jobs[name])

    def truncated(self, job):
        hidden = {"visible_at", "looks", "model_object_id"}
        return {key: value for key, value in job.items() if key not in hidden}

    def list_jobs(self, body, query, request):
        require(not query, "It takes no conditions.")
        # Oldest first: no order is documented.
        return {
            "data": [
                self.truncated(job) for job in self.jobs.values() if job["visible_at"] <= self.now
            ]
        }

    def job(self, body, query, request, name):
        require(name in self.jobs, "No such job.", 404)
        job = self.jobs[name]
        if job["status"] not in ENDED:
            job["looks"] += 1
            job["status"] = STATES[min(job["looks"], len(STATES) - 1)]
            if job["status"] == "completed":
                job["status"] = self.job_ends_as
                job |= {"token_count": 1000, "total_price": 2}
                if self.job_ends_as == "completed":
                    job["model_object_id"] = f"ml_{name}"
            job["updated_at"] = self.time()
        # The whole record has no suffix.
        return {key: value for key, value in job.items() if key not in {"suffix", "visible_at"}}

    def cancel(self, body, query, request, name):
        require(name in self.jobs, "No such job.", 404)
        require(self.jobs[name]["status"] not in ENDED, "It has ended.")
        self.jobs[name]["status"] = "cancelled"
        return self.truncated(self.jobs[name])

    def events(self, body, query, request, name):
        require(name in self.jobs, "No such job.", 404)
        job = self.jobs[name]
        kinds = ["job_pending", "job_start", "training_start", "training_complete"]
        told = kinds[: job["looks"] + 1]
        if job["status"] in ENDED:
            told.append({"completed": "job_complete", "error": "job_error"}.get(job["status"], ""))
        moment = dt.datetime.fromisoformat(job["created_at"]).timestamp()
        return {
            "data": [
                {
                    "object": "fine-tune-event",
                    "created_at": self.time(moment + number),
                    "message": f"It came to {kind}",
                    "type": kind,
                    "level": "error" if kind == "job_error" else "info",
                }
                for number, kind in enumerate(told)
                if kind
            ]
        }

    def metrics(self, body, query, request, name):
        require(name in self.jobs, "No such job.", 404)
        steps = range(1, {0: 0, 1: 0, 2: 2}.get(self.jobs[name]["looks"], 3) + 1)
        return {
            "metrics": [
                {"train/global_step": step, "train/loss": 1 / step, "train/learning_rate": 1e-5}
                for step in steps
            ]
        }

    def checkpoints(self, body, query, request, name):
        require(name in self.jobs, "No such job.", 404)
        kept = [(step, kind) for step in (10, 20) for kind in ("adapter", "model")]
        return {
            "data": [
                {
                    "checkpoint_type": f"{kind} {step}",
                    "checkpoint": kind,
                    "created_at": self.time(),
                    "path": f"s3://{name}/{step}",
                    "step": step,
                    "object_id": f"ml_{name}_{kind}_{step}",
                }
                for step, kind in kept
            ]
        }

    def download(self, body, query, request):
        job = self.jobs.get(query.get("ft_id"))
        require(job and job["status"] == "completed", "Not downloadable.", 404)
        kinds = {"Lora": {"merged", "adapter"}, "Full": {"model_output_path"}}
        wanted = query.get("checkpoint")
        require(wanted in kinds[job["training_type"]["type"]], f"No such kind: {wanted}")
        require(int(query.get("checkpoint_step", 0)) in {0, 10, 20}, "No such step.", 404)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if not found:
            return Response(self.archive, headers={"content-type": "application/octet-stream"})
        start, end = int(found[1]), int(found[2] or len(self.archive) - 1)
        headers = {"content-range": f"bytes {start}-{end}/{len(self.archive)}"}
        return Response(self.archive[start : end + 1], 206, headers)

    # Endpoints.

    def whoami(self, *_):
        return {
            "type": "project_api_key",
            "api_key": {"id": "k", "name": "n"},
            "organization": {"id": "org", "name": "o", "slug": "o"},
            "project": {"id": "prj_1", "name": "p", "slug": "acme"},
        }

    def configs(self, body, query, request):
        model = query.get("referenceModel", "").rpartition("/")[2]
        require(model in self.models(), "No such model.", 404)
        config = {"id": "cr_1", "projectId": "together", "certifications": [], "selectors": []}
        return {"data": [{**config, "referenceModel": model, "referenceModelId": model}]}

    def models(self):
        done = [name for name, job in self.jobs.items() if job["status"] == "completed"]
        steps = [
            f"ml_{name}_{kind}_{step}"
            for name in done
            for kind in ("adapter", "model")
            for step in (10, 20)
        ]
        return {f"ml_{name}" for name in done} | set(steps)

    def make_endpoint(self, body, query, request):
        require(re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", body.get("name", "")), "Wrong name.")
        full = f"acme/{body['name']}"
        taken = {endpoint["name"] for endpoint in self.endpoints.values()}
        require(full not in taken, "There is an endpoint of this name.", 409)
        name = f"ep_{next(self.count)}"
        self.endpoints[name] = {
            "id": name, "name": full, "etag": "1", "trafficSplit": [], "projectId": "prj_1",
            "endpointType": "ENDPOINT_TYPE_DEDICATED", "visibility": "VISIBILITY_PRIVATE",
            "createdAt": self.time(), "updatedAt": self.time(),
            "visible_at": self.now + self.lag_s,
        }  # fmt: skip
        return self.shown(self.endpoints[name])

    def endpoint(self, name):
        require(name in self.endpoints, "No such endpoint.", 404)
        return self.endpoints[name]

    def shown(self, endpoint):
        own = [
            self.described(d)
            for d in self.deployments.values()
            if d["endpointId"] == endpoint["id"]
        ]
        return {**endpoint, "deployments": own}

    def list_endpoints(self, body, query, request):
        seen = [one for one in self.endpoints.values() if one["visible_at"] <= self.now]
        return self.page([self.shown(one) for one in seen], query)

    def page(self, entries, query):
        # Two at once, whatever is asked for.
        start = int(query.get("after", 0))
        more = start + 2 < len(entries)
        return {"data": entries[start : start + 2], "next_cursor": str(start + 2) if more else None}

    def route(self, body, query, request, name):
        endpoint = self.endpoint(name)
        require(query.get("updateMask") == "trafficSplit", "Wrong mask.")
        require(body.get("etag") == endpoint["etag"], "It has changed.", 412)
        split = body["trafficSplit"]
        for entry in split:
            one = self.deployments.get(entry["deploymentId"])
            require(one and one["endpointId"] == name, "No such deployment in it.")
        endpoint |= {"trafficSplit": split, "etag": str(int(endpoint["etag"]) + 1)}
        return self.shown(endpoint)

    def delete_endpoint(self, body, query, request, name):
        self.endpoint(name)
        own = [one for one in self.deployments.values() if one["endpointId"] == name]
        require(not own, "It has deployments.")
        del self.endpoints[name]
        return {}

    def deploy(self, body, query, request, endpoint):
        self.endpoint(endpoint)
        require(re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", body.get("name", "")), "Wrong name.")
        full = f"{self.endpoints[endpoint]['name']}/{body['name']}"
        taken = {one["name"] for one in self.deployments.values()}
        require(full not in taken, "There is a deployment of this name.", 409)
        model = re.fullmatch("projects/prj_1/models/(ml_[^/]+)", body.get("model", ""))
        require(model and model[1] in self.models(), "No such model.", 404)
        require("_adapter_" not in model[1], "An adapter needs a deployment of its base.")
        require(body.get("config") == "projects/together/configs/cr_1", "No such config.")
        scale = body.get("autoscaling", {})
        require(1 <= scale.get("minReplicas", 0) <= scale.get("maxReplicas", 0), "Wrong replicas.")
        # 0, never, is allowed too, but nobody here asks for it.
        require(30 <= body.get("inactiveTimeout", 0) <= 1440, "Wrong inactiveTimeout.")
        name = f"dep_{next(self.count)}"
        self.deployments[name] = {
            **body, "id": name, "name": full, "endpointId": endpoint, "etag": "1", "looks": 0,
            "state": "PROVISIONING", "visible_at": self.now + self.lag_s,
        }  # fmt: skip
        return self.described(self.deployments[name])

    def described(self, one):
        ready = int(one["state"] == "READY")
        status = {
            "state": f"DEPLOYMENT_STATE_{one['state']}",
            "message": "No capacity." if one["state"] == "FAILED" else "",
            "readyReplicas": ready,
        }
        return {**one, "status": status, "state": status["state"], "createdAt": self.time()}

    def found(self, endpoint, name):
        one = self.deployments.get(name)
        require(one and one["endpointId"] == endpoint, "No such deployment.", 404)
        return one

    def deployment(self, body, query, request, endpoint, name):
        one = self.found(endpoint, name)
        if one["state"] == "PROVISIONING":
            one["looks"] += 1
            if one["looks"] >= self.looks_until_ready:
                one["state"] = self.deployment_ends_as
        return self.described(one)

    def list_deployments(self, body, query, request, endpoint):
        self.endpoint(endpoint)
        own = [
            self.described(one)
            for one in self.deployments.values()
            if one["endpointId"] == endpoint and one["visible_at"] <= self.now
        ]
        return self.page(own, query)

    def scale(self, body, query, request, endpoint, name):
        one = self.found(endpoint, name)
        require(query.get("updateMask") == "autoscaling", "Wrong mask.")
        require(body.get("etag") == one["etag"], "It has changed.", 412)
        scale = body["autoscaling"]
        stops = scale["maxReplicas"] == 0
        one |= {
            "autoscaling": scale,
            "state": "STOPPED" if stops else "PROVISIONING",
            "looks": 0,
            "etag": str(int(one["etag"]) + 1),
        }
        return self.described(one)

    def delete_deployment(self, body, query, request, endpoint, name):
        self.found(endpoint, name)
        routed = {entry["deploymentId"] for entry in self.endpoints[endpoint]["trafficSplit"]}
        require(name not in routed, "Requests are routed to it.")
        del self.deployments[name]
        return {}

    def chat(self, body, query, request):
        self.chats.append(body)
        [endpoint] = [e for e in self.endpoints.values() if e["name"] == body["model"]] or [None]
        require(endpoint, "No such model.", 404)
        routed = [self.deployments[entry["deploymentId"]] for entry in endpoint["trafficSplit"]]
        require(routed and routed[0]["state"] == "READY", "It is stopped.", 503)
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": f"I am {routed[0]['model']}"},
        }
        return {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
        }


async def _body(request):
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/"):
        return await request.form()
    content = await request.body()
    return json.loads(content) if content else {}


def check_row(row):
    """Refuse a row that Together does not take; return its format."""
    if "input" in row:
        sides = {"preferred_output", "non_preferred_output"}
        require(set(row) == {"input", *sides}, "A preference has an input and two outputs.")
        require(set(row["input"]) <= {"messages", "tools"}, "Unknown keys in an input.")
        for side in sides:
            require([m["role"] for m in row[side]] == ["assistant"], "An output is one answer.")
            check_messages([*row["input"]["messages"], *row[side]])
        return "PREFERENCE"
    require("messages" in row and set(row) <= {"messages", "tools"}, "Unknown columns.")
    check_messages(row["messages"])
    return "CONVERSATION"


def check_messages(messages):
    images = 0
    for message in messages:
        role = message["role"]
        require(role in MESSAGE_KEYS, f"Unknown role {role}.")
        require(set(message) <= MESSAGE_KEYS[role], "Unknown keys in a message.")
        require(message.get("weight", 0) in (0, 1), "A weight is 0 or 1.")
        for call in message.get("tool_calls") or ():
            require(isinstance(call["function"]["arguments"], str), "Arguments are a string.")
        for part in message.get("content") if isinstance(message.get("content"), list) else ():
            if part["type"] == "image_url":
                images += 1
                require(role == "user", "Images are in user messages only.")
                require(part["image_url"]["url"].startswith("data:image/"), "Images in base64.")
    require(images <= 10, "At most ten images.")
    require(any(m["role"] == "assistant" for m in messages), "No answer.")


def app_of(host, around=None):
    """Return an ASGI application of a host; `around` may spoil its answers."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def answer(request: Request):
        async def plain():
            try:
                made = await host.answer(request)
            except RefusedError as error:
                return Response(json.dumps(error.body), error.status, media_type="application/json")
            if isinstance(made, Response):
                return made
            return Response(json.dumps(made), media_type="application/json")

        return await (around(request, plain) if around else plain())

    return app


def tar_of(files, *, top=""):
    """Return a tar of files, by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
