"""A server of Tinker's REST: strict, keeps account of all that it is asked for, and may train.

Requests are read with the SDK's own types, which refuse unknown fields. Sessions, runs, seq ids
and checkpoints are as its documents say: a request of a seq id that was carried out gets the same
answer again, one of a finished session is refused.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tinker import types
from tinker.proto import tinker_public_pb2 as pb

KEY = "tml-test-key"


class RefusedError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def require(condition, status, message):
    if not condition:
        raise RefusedError(status, message)


@dataclass
class Run:
    """A model in training: `seen` are the digests of the data of each update, in order."""

    id: str
    session: str
    weights: object
    seen: list = field(default_factory=list)
    waiting: list = field(default_factory=list)
    seq: int = 0
    promises: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """A datum as it came over the wire."""

    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    @property
    def digest(self):
        trained = (self.weights != 0).tobytes()
        parts = self.tokens.tobytes() + self.targets.tobytes() + trained
        return hashlib.sha256(parts).hexdigest()[:16]


class Ledger:
    """Weights that are never computed."""

    def create(self, base, rank, seed):
        return None

    def compute(self, weights, data, *, backward):
        return [np.full(len(each.tokens), -1.0, np.float32) for each in data]

    def update(self, weights, params):
        pass

    def state(self, weights):
        return None

    def load(self, state):
        return None


class LoopServer:
    """The server's state; `app` serves it.

    Attributes:
        fault: Is called with the number and the path of each request that counts, and returns None,
            `refuse` (503, nothing is done), `lose` (it is done, and the answer is a 503), or `kill`
            if it has killed the process that asks.
        pauses: How often each result is answered with `try_again` first.
    """

    def __init__(self, trainer=None, *, searches=True):
        self.trainer = trainer or Ledger()
        self.searches = searches
        self.fault = lambda number, path: None
        self.pauses = 0
        self.requests = []
        self.sessions = {}
        self.runs = {}
        self.created = {}
        self.saved = {}
        self.futures = {}
        self.sent = []
        self.updates = []
        self.deleted = []
        routes = [Route("/{path:path}", self._answer, methods=["GET", "POST", "DELETE", "PUT"])]
        self.app = Starlette(routes=routes)

    @property
    def running(self):
        return [name for name, each in self.sessions.items() if each["status"] == "active"]

    @property
    def url(self):
        return self._url

    async def _answer(self, request):
        path = request.path_params["path"].removeprefix("api/v1/")
        self._url = str(request.base_url)
        raw = await request.body()
        if path.startswith("signed/"):
            return Response(self.files[path.removeprefix("signed/")])
        if request.headers.get("x-api-key") != KEY:
            return JSONResponse({"detail": "Invalid key"}, 401)
        what = None
        if path not in {"client/config", "client/dynamic_config", "session_heartbeat"}:
            self.requests.append(path)
            what = self.fault(len(self.requests), path)
        if what == "refuse":
            return JSONResponse({"detail": "overloaded"}, 503)
        try:
            made = await asyncio.to_thread(self._do, request.method, path, raw, request.headers)
        except RefusedError as error:
            return JSONResponse({"detail": str(error)}, error.status)
        except Exception as error:  # noqa: BLE001 - not a 500: the SDK would ask again for ever.
            return JSONResponse({"detail": f"the test's server broke: {error!r}"}, 400)
        if what == "lose":
            return JSONResponse({"detail": "lost"}, 503)
        if isinstance(made, bytes):
            return Response(made, media_type="application/x-protobuf")
        return JSONResponse(made)

    def _do(self, method, path, raw, headers):
        if path == "forward_backward":
            require("protobuf" in headers["content-type"], 400, "protobuf is needed")
            message = pb.ForwardBackwardRequest()
            message.ParseFromString(raw)
            return self._forward_backward(message)
        body = json.loads(raw) if raw else {}
        name, _, rest = path.partition("/")
        return getattr(self, f"_{method.lower()}_{name}")(rest, body)

    # Sessions.

    def _post_client(self, rest, body):
        return {}

    def _post_session_heartbeat(self, rest, body):
        session = self.sessions[body["session_id"]]
        require(session["status"] == "active", 410, "finished")
        return {"type": "session_heartbeat"}

    def _post_create_session(self, rest, body):
        request = types.CreateSessionRequest.model_validate(body)
        name = f"session{len(self.sessions) + 1}"
        self.sessions[name] = {"status": "active", "metadata": request.user_metadata}
        return {"type": "create_session", "session_id": name}

    def _post_sessions(self, rest, body):
        if rest == "search":
            require(self.searches, 404, "no such route")
            request = types.SessionSearchRequest.model_validate(body)
            assert [each.type for each in request.statuses] == ["active"]
            found = [
                name
                for name in self.running
                if request.user_metadata.items() <= self.sessions[name]["metadata"].items()
            ]
            summary = {
                "created_at": "2026-11-30T00:00:00Z", "owner": "me", "project_id": "p",
                "checkpoints_count": 0,
            }  # fmt: skip
            return {"sessions": [{"session_id": name, **summary} for name in found]}
        name, _, verb = rest.partition("/")
        require(name in self.sessions and verb == "finish", 404, "no such session")
        require(self.sessions[name]["status"] == "active", 410, "finished before")
        require(body["reason"]["type"] in {"success", "errored", "interrupted"}, 400, "reason")
        self.sessions[name]["status"] = body["reason"]["type"]
        return {}

    def _live(self, session):
        require(session in self.sessions, 404, "no such session")
        require(self.sessions[session]["status"] == "active", 400, "the session is finished")

    # Runs.

    def _promise(self, result, run=None):
        name = f"request{len(self.futures) + 1}"
        self.futures[name] = [result, self.pauses]
        return {"request_id": name, "model_id": run}

    def _made(self, session, number, make):
        self._live(session)
        run = f"{session}:train:{number}"
        if run not in self.created:
            self.runs[run] = make(run)
            self.created[run] = None
        return run

    def _post_create_model(self, rest, body):
        request = types.CreateModelRequest.model_validate(body)
        require(request.base_model == "nano", 400, f"no base {request.base_model}")
        lora = request.lora_config

        def make(run):
            weights = self.trainer.create(request.base_model, lora.rank, lora.seed)
            return Run(run, request.session_id, weights)

        run = self._made(request.session_id, request.model_seq_id, make)
        return self._promise({"type": "create_model", "model_id": run}, run)

    def _post_load_weights(self, rest, body):
        request = types.LoadWeightsRequest.model_validate(body)
        require(request.path in self.saved, 404, "no such checkpoint")
        require("/weights/" in request.path and request.optimizer, 400, "no training state")
        seen, state = self.saved[request.path]

        def make(run):
            return Run(run, request.session_id, self.trainer.load(state), list(seen))

        run = self._made(request.session_id, request.model_seq_id, make)
        return self._promise({"type": "load_weights", "path": request.path, "model_id": run}, run)

    def _post_get_info(self, rest, body):
        run = body["model_id"]
        require(run in self.runs, 404, "no such run")
        data = {"arch": "llama", "model_name": "nano", "tokenizer_id": "nano"}
        return {"type": "get_info", "model_data": data, "model_id": run, "is_lora": True}

    def _in_turn(self, run_id, seq, act):
        """Carry out the request of a seq id once, in order."""
        require(run_id in self.runs, 404, "no such run")
        run = self.runs[run_id]
        self._live(run.session)
        if seq not in run.promises:
            require(seq == run.seq + 1, 400, f"seq id {seq} after {run.seq}")
            run.promises[seq] = self._promise(act(run), run_id)
            run.seq = seq
        return run.promises[seq]

    def _forward_backward(self, message):
        def act(run):
            require(message.loss_fn == "cross_entropy", 400, "unknown loss")
            data = [_sent(each) for each in message.data]
            backward = not message.forward_only
            answers = self.trainer.compute(run.weights, data, backward=backward)
            if backward:
                run.waiting += data
                self.sent += data
            made = pb.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
            made.metrics["loss:sum"] = -sum(
                float((each.weights.astype(np.float64) * one).sum())
                for each, one in zip(data, answers, strict=True)
            )
            record = made.loss_fn_outputs.add(num_datums=len(data))
            tensor = record.fields["logprobs"]
            tensor.data = b"".join(np.asarray(one, np.float32).tobytes() for one in answers)
            ends = np.cumsum([0, *(4 * len(one) for one in answers)])
            tensor.offsets = ends.astype(np.int64).tobytes()
            tensor.dtype = pb.DTYPE_FLOAT32
            return made.SerializeToString()

        return self._in_turn(message.model_id, message.seq_id, act)

    def _post_optim_step(self, rest, body):
        request = types.OptimStepRequest.model_validate(body)

        def act(run):
            require(run.waiting, 400, "there is no gradient")
            run.seen.append([each.digest for each in run.waiting])
            run.waiting = []
            self.updates.append(request.optim_params)
            self.trainer.update(run.weights, request.optim_params)
            return {"metrics": {}}

        return self._in_turn(request.model_id, request.seq_id, act)

    # Checkpoints.

    def _save(self, request, kind, result_type):
        def act(run):
            require("/" not in request.path, 400, "a name has no slash")
            ttl = request.ttl_seconds
            require(ttl is None or 3600 <= ttl <= 10 * 366 * 86400, 400, "ttl_seconds")
            path = f"tinker://{run.id}/{kind}/{request.path}"
            there = path in self.saved and not getattr(request, "overwrite", False)
            require(not there, 400, "there is one of that name")
            self.saved[path] = (list(run.seen), self.trainer.state(run.weights))
            return {"path": path, "type": result_type}

        return self._in_turn(request.model_id, request.seq_id, act)

    def _post_save_weights(self, rest, body):
        request = types.SaveWeightsRequest.model_validate(body)
        return self._save(request, "weights", "save_weights")

    def _post_save_weights_for_sampler(self, rest, body):
        request = types.SaveWeightsForSamplerRequest.model_validate(body)
        return self._save(request, "sampler_weights", "save_weights_for_sampler")

    def _post_save_weights_external(self, rest, body):
        request = types.SaveWeightsExternalRequest.model_validate(body)
        return self._save(request, "external_weights", "save_weights_external")

    def _get_training_runs(self, rest, body):
        run, _, path = rest.partition("/checkpoints/")
        if rest.endswith("/checkpoints"):
            run = rest.removesuffix("/checkpoints")
            require(run in self.runs, 404, "no such run")
            paths = [each for each in self.saved if each.startswith(f"tinker://{run}/")]
            return {"checkpoints": [{"tinker_path": path} for path in paths]}
        name = path.removesuffix("/external_weights_urls")
        require((found := f"tinker://{run}/{name}") in self.saved, 404, "no such checkpoint")
        self.files = self.trainer.exported(self.saved[found][1])
        urls = {each: f"{self.url}signed/{each}" for each in self.files}
        return {"urls": urls, "expires": "2036-11-30T00:00:00Z"}

    def _delete_training_runs(self, rest, body):
        run, _, name = rest.partition("/checkpoints/")
        require((path := f"tinker://{run}/{name}") in self.saved, 404, "no such checkpoint")
        del self.saved[path]
        self.deleted.append(path)
        return {}

    def _post_retrieve_future(self, rest, body):
        require(body["request_id"] in self.futures, 404, "no such request")
        future = self.futures[body["request_id"]]
        if future[1]:
            future[1] -= 1
            return {
                "type": "try_again", "request_id": body["request_id"],
                "queue_state": "paused_capacity",
            }  # fmt: skip
        return future[0]


def _sent(datum):
    assert set(datum.loss_fn_inputs) == {"target_tokens", "weights"}
    [chunk] = datum.model_input
    targets, weights = datum.loss_fn_inputs["target_tokens"], datum.loss_fn_inputs["weights"]
    assert (targets.dtype, weights.dtype) == (pb.DTYPE_INT64, pb.DTYPE_FLOAT32)
    sent = Sent(
        np.frombuffer(chunk.encoded_text.tokens, np.int32),
        np.frombuffer(targets.dense, np.int64),
        np.frombuffer(weights.dense, np.float32),
    )
    require(len(sent.tokens) == len(sent.targets) == len(sent.weights) > 0, 400, "lengths differ")
    return sent
