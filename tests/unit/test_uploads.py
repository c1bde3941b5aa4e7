"""What FineTune sends of a split: the training and the validation part, and nothing else."""

import json

import pytest
from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import JSONResponse

from langchain_finetune import Convert, EngineError, FineTune, FineTuningError, Split
from langchain_finetune.home import HOME_VARIABLE
from support.chats import chats
from support.servers import served


class Engine:
    """Takes files, and refuses the job."""

    def __init__(self):
        self.files = []
        self.asked = []
        self.app = FastAPI()
        self.app.post("/v1/files")(self.upload)
        self.app.post("/v1/fine_tuning/jobs")(self.create)
        self.app.get("/v1/files")(self.nothing)
        self.app.get("/v1/fine_tuning/jobs")(self.nothing)
        self.app.delete("/v1/files/{file_id}")(self.delete)

    async def upload(self, file: UploadFile):
        self.files.append(await file.read())
        return {
            "id": f"file-{len(self.files)}",
            "object": "file",
            "bytes": len(self.files[-1]),
            "created_at": 1,
            "filename": file.filename,
            "purpose": "fine-tune",
            "status": "processed",
        }

    async def create(self, request: Request):
        self.asked.append(await request.json())
        error = {"message": "No quota.", "code": "exceeded_quota"}
        return JSONResponse({"error": error}, 403)

    def nothing(self):
        return {"object": "list", "data": [], "has_more": False}

    def delete(self, file_id: str):
        return {"id": file_id, "object": "file", "deleted": True}


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    engine = Engine()
    with served(engine.app) as url:
        engine.url = f"{url}/v1"
        yield engine


EXAMPLES = Convert(split=Split(validation=0.2, test=0.2)).invoke(chats(100))


def test_the_test_part_never_leaves(engine, tmp_path):
    with pytest.raises(EngineError, match="No quota"):
        FineTune(model="m", api_key="k", base_url=engine.url).invoke(EXAMPLES)
    sent = [[json.loads(line) for line in file.splitlines()] for file in engine.files]
    assert sent == [list(EXAMPLES.part("train")), list(EXAMPLES.part("validation"))]
    assert engine.asked[0]["training_file"] == "file-1"
    assert engine.asked[0]["validation_file"] == "file-2"
    [test] = (tmp_path / "home/spool").glob("*/test.jsonl")
    kept = [json.loads(line) for line in test.read_bytes().splitlines()]
    assert kept == list(EXAMPLES.part("test"))
    assert not [line for file in sent for line in file if line in kept]


async def test_a_broken_budget_sends_nothing(engine):
    step = FineTune(
        model="m", api_key="k", base_url=engine.url, max_cost_usd=0.001, prices={"m": 10}
    )
    with pytest.raises(FineTuningError, match="max_cost_usd"):
        await step.ainvoke(EXAMPLES)
    assert engine.files == engine.asked == []
