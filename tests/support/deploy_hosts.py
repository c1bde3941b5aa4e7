"""Stand-ins for the hosts that deploy models, in the shapes of their documents."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from support.light_engine import app_of


class Host:
    """A management plane and a model host, in the shapes of the providers' documents."""

    def __init__(self, states):
        self.states = list(states)
        self.requests = []
        self.models = []
        self.app = FastAPI()
        self.app.put("/subscriptions/{path:path}")(self.put)
        self.app.get("/subscriptions/{path:path}")(self.get)
        self.app.get("/v1/fine_tuning/jobs/{job_id}/checkpoints")(self.checkpoints)
        self.app.get("/v0/models")(self.list_models)
        self.app.post("/v0/models")(self.make_model)

    def next_state(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    async def note(self, request):
        body = await request.json() if request.method in {"PUT", "POST"} else None
        self.requests.append((request.method, str(request.url.path), body))
        return request.headers["authorization"]

    async def put(self, request: Request):
        if await self.note(request) != "Bearer entra":
            return JSONResponse({"error": {"code": "InvalidAuthenticationToken"}}, 401)
        return JSONResponse({"properties": {"provisioningState": "Creating"}}, 201)

    async def get(self, request: Request):
        assert await self.note(request) == "Bearer entra"
        state = self.next_state()
        if isinstance(state, int):
            return JSONResponse({"error": {"message": "later"}}, state)
        return {"properties": {"provisioningState": state}}

    async def checkpoints(self, request: Request):
        await self.note(request)
        steps = {"ftckpt_1": 5, "ftckpt_2": 10, "ftckpt_0": 1} if self.states else {}
        data = [
            {"id": name, "step_number": step, "object": "fine_tuning.job.checkpoint"}
            for name, step in steps.items()
        ]
        return {"object": "list", "data": data, "has_more": False}

    async def list_models(self, request: Request):
        await self.note(request)
        for model in self.models:
            model["status"] = self.next_state()
        return self.models

    async def make_model(self, request: Request):
        assert await self.note(request) == "Bearer k"
        body = await request.json()
        model = {**body, "name": f"{body['base_model']}-LoRa:{body['name']}", "status": "x"}
        self.models.append(model)
        return model


def host_beside(engine):
    """Return a host that deploys what a `LightEngine` at the same address has trained."""
    host = Host(["Succeeded"])
    host.app.mount("/", app_of(engine))
    return host
