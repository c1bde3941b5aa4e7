"""The machine loses power: what was acknowledged is there, and what is damaged is made anew."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from pydantic import SecretStr
from starlette.testclient import TestClient

from langchain_finetune import Convert, FineTune
from langchain_finetune.home import HOME_VARIABLE, ensure_home
from langchain_finetune.local.app import create_app
from langchain_finetune.local.sqlite import Database
from support.jobs import chats, quick_flows
from support.power_cut import Disk
from tests.local.fake_engine import FakeChat

TRAINER = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")))


@contextmanager
def engine_here(home, record):
    """An engine in this process, whose calls of `os.fsync` can be seen."""
    app = create_app(home, SecretStr("k" * 30), trainer=(*TRAINER, str(record)), chat=FakeChat)
    with TestClient(app, base_url="http://127.0.0.1:1") as wire:
        yield OpenAI(api_key="k" * 30, base_url="http://127.0.0.1:1/v1", http_client=wire)


def test_what_is_acknowledged_outlives_a_loss_of_power(tmp_path, monkeypatch, until, jsonl, way):
    disk, home = Disk(), tmp_path / "home"
    cuts = []

    def cut(check):
        """Lose power now; see later whether this holds then."""
        disk.after_the_cut(home, tmp_path / f"cut-{len(cuts)}")
        cuts.append(check)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", disk.fsync)
        ensure_home(home)
        with engine_here(home, tmp_path / "record") as client:
            file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune")
            cut(lambda client: client.files.content(file.id).content == jsonl())
            upload = client.uploads.create(
                filename="b", bytes=9, mime_type="text/plain", purpose="fine-tune"
            )
            part = client.uploads.parts.create(upload.id, data=b"123456789")
            cut(lambda client: client.uploads.complete(upload.id, part_ids=[part.id]).file)
            whole = client.uploads.complete(upload.id, part_ids=[part.id]).file
            cut(lambda client: client.files.content(whole.id).content == b"123456789")
            job = client.fine_tuning.jobs.create(
                model="nano", training_file=file.id, seed=way.SUCCEED
            )

            def ended():
                return client.fine_tuning.jobs.retrieve(job.id)

            until(lambda: ended().status == "succeeded", seconds=240)
            answer = client.chat.completions.create(
                model=ended().fine_tuned_model, messages=[{"role": "user", "content": "hi"}]
            )
            model, [results] = ended().fine_tuned_model, ended().result_files
            cut(lambda client: client.files.content(results).content)
            cut(
                lambda client: (
                    answer.choices
                    == client.chat.completions.create(
                        model=model, messages=[{"role": "user", "content": "hi"}]
                    ).choices
                )
            )
    for number, check in enumerate(cuts):
        with engine_here(tmp_path / f"cut-{number}", tmp_path / "record") as client:
            assert check(client)
            assert client.files.retrieve(file.id).status == "processed"


def test_records_are_on_the_disk_when_they_are_acknowledged(tmp_path):
    database = Database(tmp_path / "x.sqlite")
    assert database.row("PRAGMA synchronous") == {"synchronous": 2}
    database.close()


def train(engine, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(engine.home))
    with quick_flows(0.05):
        return (
            FineTune(model="nano", engine="local", seed=0)
            .invoke(Convert().invoke(chats()))
            .model_name
        )


@pytest.mark.parametrize("what", ["models/*/config.json", "files/file-*"])
def test_the_same_chain_heals(start, monkeypatch, what):
    with start() as engine:
        home = engine.home
        first = train(engine, monkeypatch)
        assert train(engine, monkeypatch) == first
    for path in home.glob(what):
        os.truncate(path, 0)
    with start() as engine, engine.client() as client:
        gone = what.startswith("models")
        if gone:
            for ask in (
                lambda: client.models.retrieve(first),
                lambda: client.chat.completions.create(model=first, messages=[]),
            ):
                with pytest.raises(openai.NotFoundError, match="damaged or gone"):
                    ask()
            assert first not in {card.id for card in client.models.list()}
        else:
            [upload] = client.files.list(purpose="fine-tune")
            assert upload.status == "error"
            with pytest.raises(openai.NotFoundError, match="upload the file again"):
                client.files.content(upload.id)
            with pytest.raises(openai.BadRequestError, match="not a file"):
                client.fine_tuning.jobs.create(model="nano", training_file=upload.id)
            client.models.delete(first)
        second = train(engine, monkeypatch)
        assert second != first
        config = client.chat.completions.create(
            model=second, messages=[{"role": "user", "content": "hi"}]
        )
        assert json.loads(config.choices[0].message.content)["method"] == "supervised"
        statuses = [file.status for file in client.files.list(purpose="fine-tune")]
        assert statuses == (["processed"] if gone else ["processed", "error"])
        assert train(engine, monkeypatch) == second
        if gone:
            assert client.models.delete(first).deleted


def test_a_model_that_is_put_back_answers_again(start, until, jsonl, way):
    with start() as engine, engine.client() as client:
        file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
        job = client.fine_tuning.jobs.create(model="nano", training_file=file, seed=way.SUCCEED)
        until(lambda: client.fine_tuning.jobs.retrieve(job.id).status == "succeeded")
        name = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
    folder = engine.home / "models" / job.id
    folder.rename(engine.home / "kept")
    with start() as engine, engine.client() as client, pytest.raises(openai.NotFoundError):
        client.models.retrieve(name)
    (engine.home / "kept").rename(folder)
    with start() as engine, engine.client() as client:
        assert client.models.retrieve(name)
