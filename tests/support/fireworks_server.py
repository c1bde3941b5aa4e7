"""Fireworks' training API and control plane: strict, keeps account of what it is asked for.

Loop requests are read with the SDK's own types. What its TINKER_COMPATIBILITY.md calls unsupported
is refused, and so is what its client refuses before it sends, and what the documents say of
sessions, promotion and deployments. Lists of checkpoints lag, models and deployments take a while.
"""

import asyncio
import json
import re
from dataclasses import asdict

import numpy as np
from fireworks.training.sdk import types
from starlette.responses import JSONResponse, Response

from support.loop_server import LoopServer, RefusedError, Run, Sent, require

KEY = "fw_test_key"
ACCOUNT = "acme"
BASE = "accounts/fireworks/models/nano"
ALPHA = 32
SHAPE = "accounts/fireworks/deploymentShapes/nano-minimal"
MOST_SESSIONS = 8
_ID = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")
_LOOP = "training/v1/serverless/api/v1/"


class FireworksServer(LoopServer):
    """The server's state; `app` serves it. See `LoopServer` for faults and pauses.

    Attributes:
        unheard: Sessions whose creation was never answered: nobody can end them.
        beats: Heartbeats of each session.
        models: The promoted models, with what they have seen.
        deployments: The deployments that exist.
        lag: How often a saved checkpoint is missing in its session's list first.
    """

    def __init__(self, trainer=None, *, lag=1):
        super().__init__(trainer)
        self.lag = lag
        self.unheard = set()
        self.beats = {}
        self.models = {}
        self.deployments = {}
        self.promoted = []
        self.bills = []
        self._snapshots = {}

    @property
    def running(self):
        return [name for name in super().running if name not in self.unheard]

    async def _answer(self, request):
        path = request.path_params["path"]
        self._url = str(request.base_url)
        raw = await request.body()
        if path.startswith("signed/"):
            return Response(self.files[path.removeprefix("signed/")])
        if path.startswith("inference/"):
            require_bearer = request.headers.get("authorization") == f"Bearer {KEY}"
            return self._chat(json.loads(raw)) if require_bearer else Response(status_code=401)
        keys = {
            request.headers.get("x-api-key"),
            request.headers.get("authorization", "").removeprefix("Bearer "),
        }
        if KEY not in keys:
            return JSONResponse({"error": "a key with the scope of training is needed"}, 401)
        what = None
        if not path.endswith("session_heartbeat"):
            self.requests.append(path.removeprefix(_LOOP))
            what = self.fault(len(self.requests), self.requests[-1])
        if what == "refuse":
            return JSONResponse({"error": "overloaded"}, 503)
        try:
            made = await asyncio.to_thread(self._do_here, request, path, raw)
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except Exception as error:  # noqa: BLE001 - not a 500: the SDK would ask again for ever.
            return JSONResponse({"error": f"the test's server broke: {error!r}"}, 400)
        if what in {"lose", "kill"}:
            if path.endswith("create_session"):
                self.unheard.add(made["session_id"])
            return JSONResponse({"error": "lost"}, 503)
        return JSONResponse(made)

    def _do_here(self, request, path, raw):
        require("json" in request.headers.get("content-type", "json"), 400, "JSON is needed")
        body = json.loads(raw) if raw else {}
        if path.startswith(_LOOP):
            name = path.removeprefix(_LOOP)
            method = getattr(self, f"_post_{name}", None)
            require(method and request.method == "POST", 404, f"no such route: {name}")
            return method("", body)
        return self._control(request.method, path, dict(request.query_params), body)

    # Sessions and runs.

    def _post_session_heartbeat(self, rest, body):
        self._live(body["session_id"])
        self.beats[body["session_id"]] = self.beats.get(body["session_id"], 0) + 1
        return {"type": "session_heartbeat"}

    def _post_create_session(self, rest, body):
        request = types.CreateSessionRequest.model_validate(body)
        require(request.project_id is None, 400, "projects are not supported")
        active = len(self.running) + len(self.unheard)
        require(active < MOST_SESSIONS, 429, "the quota of runs is used up")
        name = f"ts-{len(self.sessions) + 1:08x}"
        self.sessions[name] = {"status": "active", "metadata": request.user_metadata}
        return {"type": "create_session", "session_id": name}

    def _live(self, session):
        found = self.sessions.get(session)
        require(found and found["status"] == "active", 404, "there is no such session")

    def _post_create_model(self, rest, body):
        request = types.CreateModelRequest.model_validate(body)
        lora = request.lora_config
        require(lora and lora.rank > 0, 400, "the pool trains LoRA only")
        require(request.base_model == BASE, 404, "no eligible shared trainer found for base model")
        require(lora.alpha == ALPHA, 400, "alpha")

        def make(run):
            weights = self.trainer.create(request.base_model, lora.rank, lora.seed)
            return Run(run, request.session_id, weights)

        made = self._made(request.session_id, request.model_seq_id, make)
        return self._promise({"type": "create_model", "model_id": made}, made)

    def _made(self, session, number, make):
        self._live(session)
        run = next((name for name, own in self.created.items() if own == (session, number)), None)
        if run is None:
            run = f"run-{len(self.created) + 1:08x}{'0' * 24}:train:{number}"
            self.created[run] = (session, number)
            self.runs[run] = make(run)
        return run

    # Steps.

    def _post_forward(self, rest, body):
        return self._steps(body, "forward_input", backward=False)

    def _post_forward_backward(self, rest, body):
        return self._steps(body, "forward_backward_input", backward=True)

    def _steps(self, body, name, *, backward):
        require(set(body) == {name, "model_id", "seq_id"}, 400, f"unknown fields: {set(body)}")
        given = body[name]
        require(given["loss_fn"] == "cross_entropy", 400, "unknown loss")

        def act(run):
            data = [_sent(each) for each in given["data"]]
            answers = self.trainer.compute(run.weights, data, backward=backward)
            if backward:
                run.waiting += data
                self.sent += data
                self.bills.append(sum(len(each.tokens) for each in data))
            outputs = [
                {"logprobs": {"data": one.tolist(), "dtype": "float32", "shape": [len(one)]}}
                for one in answers
            ]
            loss = -sum(
                float((each.weights.astype(np.float64) * one).sum())
                for each, one in zip(data, answers, strict=True)
            )
            # Training tells no log probabilities of single tokens.
            told = [{} for _ in outputs] if backward else outputs
            return {
                "loss_fn_output_type": "ArrayRecord", "loss_fn_outputs": told,
                "metrics": {"loss:sum": loss},
            }  # fmt: skip

        return self._in_turn(body["model_id"], body["seq_id"], act)

    def _post_optim_step(self, rest, body):
        request = types.OptimStepRequest.model_validate(body)

        def act(run):
            require(run.waiting, 400, "there is no gradient")
            run.seen.append([each.digest for each in run.waiting])
            run.waiting = []
            self.updates.append(request.adam_params)
            self.trainer.update(run.weights, request.adam_params)
            return {"metrics": {}, "type": "optim_step"}

        return self._in_turn(request.model_id, request.seq_id, act)

    # Checkpoints.

    def _post_save_weights(self, rest, body):
        request = types.SaveWeightsRequest.model_validate(body)
        require(not request.overwrite and request.ttl_seconds is None, 400, "not supported")
        require(_ID.match(request.path), 400, "the name is not a DNS label")

        def act(run):
            path = f"{ACCOUNT}/{run.id.partition(':')[0]}/{request.path}"
            require(path not in self.saved, 400, "there is one of that name")
            self.saved[path] = (list(run.seen), self.trainer.state(run.weights))
            return {"path": path, "type": "save_weights"}

        return self._in_turn(request.model_id, request.seq_id, act)

    def _post_load_weights(self, rest, body):
        request = types.LoadWeightsRequest.model_validate(body)
        require(request.weights_access_token is None, 400, "not supported")
        require(re.match(r"^[^/]+/run-[0-9a-f]{32}/[^/]+$", request.path), 400, "not qualified")
        require(request.path not in self._snapshots, 400, "a sampler's snapshot is no state")
        require(request.path in self.saved and request.optimizer, 404, "no such checkpoint")
        seen, state = self.saved[request.path]

        def act(run):
            require(not run.seen, 400, "it has trained already")
            run.seen, run.weights = list(seen), self.trainer.load(state)
            return {"type": "load_weights", "path": request.path}

        return self._in_turn(request.model_id, request.seq_id, act)

    def _post_save_weights_for_sampler(self, rest, body):
        kind = body.pop("checkpoint_type", None)
        require(kind == "base", 400, "of LoRA, the whole adapter is saved")
        request = types.SaveWeightsForSamplerRequest.model_validate(body)
        require(request.ttl_seconds is None, 400, "not supported")

        def act(run):
            own = run.id.partition(":")[0]
            path = f"{ACCOUNT}/{own}/{request.path}"
            require(path not in self._snapshots, 400, "there is one of that name")
            self._snapshots[path] = {
                "session": run.session, "short": f"{own}-{request.path}", "lag": self.lag,
                "what": (list(run.seen), self.trainer.state(run.weights)),
            }  # fmt: skip
            return {"path": path, "type": "save_weights_for_sampler"}

        return self._in_turn(request.model_id, request.seq_id, act)

    # The control plane.

    def _control(self, method, path, query, body):
        if path == "v1/accounts":
            return {"accounts": [{"name": f"accounts/{ACCOUNT}"}]}
        own = f"v1/accounts/{ACCOUNT}/"
        require(path.startswith(own), 403, "it is another account's")
        kind, _, rest = path.removeprefix(own).partition("/")
        act = getattr(self, f"_{method.lower()}_{kind}", None)
        require(act, 404, f"no such route: {method} {path}")
        return act(rest, query, body)

    def _delete_trainingSessions(self, rest, query, body):  # noqa: N802
        if rest in self.sessions:
            self.sessions[rest]["status"] = "deleted"
        return {}

    def _get_trainingSessions(self, rest, query, body):  # noqa: N802
        session, _, what = rest.partition("/")
        require(what == "checkpoints", 404, "no such route")
        self._live(session)
        rows = []
        for one in self._snapshots.values():
            if one["session"] == session:
                one["lag"] -= 1
                if one["lag"] < 0:
                    rows.append(_row(session, one["short"]))
        start = int(query.get("pageToken") or 0)
        # Oldest first, in pages.
        more = {"nextPageToken": str(start + 2)} if start + 2 < len(rows) else {}
        return {"trainingSessionCheckpoints": rows[start : start + 2], **more}

    def _post_trainingSessions(self, rest, query, body):  # noqa: N802
        found = re.match(r"^([^/]+)/checkpoints/(.+):promote$", rest)
        require(found, 404, "no such route")
        session, short = found.groups()
        self._live(session)
        require(set(body) == {"output_model", "base_model"}, 400, "unknown fields")
        require(body["base_model"] == BASE, 400, "another base")
        name = body["output_model"].removeprefix(f"accounts/{ACCOUNT}/models/")
        require(_ID.match(name), 400, "output_model: at most 63 of a-z, 0-9 and hyphens")
        one = next((each for each in self._snapshots.values() if each["short"] == short), None)
        require(one and one["session"] == session and one["lag"] < 0, 404, "no such checkpoint")
        require(name not in self.models, 409, "there is a model of that name")
        self.models[name] = {"state": "UPLOADING", "what": one["what"]}
        self.promoted.append(name)
        self.saved[f"accounts/{ACCOUNT}/models/{name}"] = one["what"]
        return {"model": self._model(name)}

    def _model(self, name):
        full = f"accounts/{ACCOUNT}/models/{name}"
        return {"name": full, "state": self.models[name]["state"], "kind": "HF_PEFT_ADDON"}

    def _get_models(self, rest, query, body):
        name, _, verb = rest.partition(":")
        require(name in self.models, 404, "no such model")
        if verb == "getDownloadEndpoint":
            self.files = self.trainer.exported(self.models[name]["what"][1])
            urls = {f"model/{each}": f"{self.url}signed/{each}" for each in self.files}
            return {"filenameToSignedUrls": urls}
        told = self._model(name)
        self.models[name]["state"] = "READY"
        return told

    def _delete_models(self, rest, query, body):
        require(rest in self.models, 404, "no such model")
        del self.models[rest]
        del self.saved[f"accounts/{ACCOUNT}/models/{rest}"]
        self.deleted.append(rest)
        return {}

    def _post_deployments(self, rest, query, body):
        name = query.get("deploymentId", "")
        require(_ID.match(name), 400, "deploymentId")
        require(body.get("deploymentShape") == SHAPE, 400, "accelerator_type must be specified")
        base = body["baseModel"].removeprefix(f"accounts/{ACCOUNT}/models/")
        require(base in self.models, 400, "no such model")
        require(0 <= body["minReplicaCount"] <= body["maxReplicaCount"], 400, "replicas")
        require(name not in self.deployments, 409, "there is a deployment of that id")
        self.deployments[name] = {**body, "state": "CREATING", "asked": 0}
        self.created_deployments = [*getattr(self, "created_deployments", []), name]
        return self._deployment(name)

    def _deployment(self, name):
        full = f"accounts/{ACCOUNT}/deployments/{name}"
        one = self.deployments[name]
        return {"name": full, "state": one["state"], "baseModel": one["baseModel"]}

    def _get_deployments(self, rest, query, body):
        require(rest in self.deployments, 404, "no such deployment")
        one = self.deployments[rest]
        one["asked"] += 1
        if one["state"] == "CREATING" and one["asked"] > 1:
            one["state"] = getattr(self, "deploys_to", "READY")
        return self._deployment(rest)

    def _delete_deployments(self, rest, query, body):
        require(rest in self.deployments, 404, "no such deployment")
        used = self.deployments[rest].get("used") and query.get("ignoreChecks") != "true"
        require(not used, 400, "it was used within the last hour: pass ignore_checks")
        del self.deployments[rest]
        return {}

    def _chat(self, body):
        model, _, deployment = body["model"].partition("#")
        name = deployment.removeprefix(f"accounts/{ACCOUNT}/deployments/")
        known = self.deployments.get(name)
        if not known or known["baseModel"] != model or known["state"] != "READY":
            return JSONResponse({"error": {"message": "NOT_FOUND"}}, 404)
        known["used"] = True
        message = {"role": "assistant", "content": "yes"}
        return JSONResponse(
            {
                "id": "1", "object": "chat.completion", "created": 1, "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            }
        )  # fmt: skip


def _row(session, short):
    name = f"accounts/{ACCOUNT}/trainingSessions/{session}/checkpoints/{short}"
    kind = "CHECKPOINT_TYPE_INFERENCE_LORA"
    return {"name": name, "checkpointType": kind, "promotable": True}


def _sent(datum):
    inputs = datum["loss_fn_inputs"]
    require(set(inputs) == {"target_tokens", "weights"}, 400, "inputs of the loss")
    [chunk] = datum["model_input"]["chunks"]
    require(chunk["type"] == "encoded_text", 400, "chunks are encoded text or inline images")
    dtypes = {name: one["dtype"] for name, one in inputs.items()}
    require(dtypes == {"target_tokens": "int64", "weights": "float32"}, 400, "dtypes")
    sent = Sent(
        np.array(chunk["tokens"], np.int32),
        np.array(inputs["target_tokens"]["data"], np.int64),
        np.array(inputs["weights"]["data"], np.float32),
    )
    lengths = {len(each) for each in asdict(sent).values()}
    require(len(lengths) == 1 and 0 not in lengths, 400, "lengths differ")
    return sent
