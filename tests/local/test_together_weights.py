"""A model that was trained at Together answers at the embedded engine."""

import zstandard

from langchain_finetune import Convert, FineTune, TogetherDeployment
from langchain_finetune.home import HOME_VARIABLE
from langchain_finetune.local.base_models import find_base
from support.jobs import chats, quick_flows
from support.together import SETTINGS, serving
from support.together_host import TogetherHost, tar_of
from tests.local.chat_server import ChatServer
from tests.local.tiny_model import make_tiny_model


def test_downloaded_weights_are_a_base_that_answers(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    (tmp_path / "tiny").mkdir()
    tiny = make_tiny_model(tmp_path / "tiny")
    files = {path.name: path.read_bytes() for path in tiny.iterdir() if path.is_file()}
    host = TogetherHost(archive=zstandard.compress(tar_of(files, top="output/")))
    step = FineTune(**SETTINGS, deployment=TogetherDeployment(name="c"))
    with serving(host, monkeypatch), quick_flows():
        job = step.submit(Convert().invoke(chats()))
        job.wait()
        folder = job.download(tmp_path / "home" / "bases" / "calculator")
    assert find_base("calculator") == folder
    with ChatServer(calculator=folder).running() as server, server.client() as client:
        answer = client.chat.completions.create(
            model="calculator", messages=[{"role": "user", "content": "5 plus 8?"}], max_tokens=5
        )
    assert answer.choices[0].message.role == "assistant"
