"""The Models API and the way to the chat part."""

import openai
import pytest


@pytest.fixture
def tuned(client, upload, ended, way):
    job = client.fine_tuning.jobs.create(
        model="nano", training_file=upload(), seed=way.SUCCEED, suffix="bot"
    )
    return ended(job.id).fine_tuned_model


def ask(client, model):
    message = {"role": "user", "content": "my secret question"}
    return client.chat.completions.create(model=model, messages=[message])


def test_lists_bases_aliases_and_tuned_models(client, tuned):
    listed = {model.id: model for model in client.models.list()}
    assert {"nano", "gpt-3.5-turbo", tuned} <= listed.keys()
    assert listed["gpt-3.5-turbo"].to_dict()["root"] == "nano"
    assert client.models.retrieve(tuned) == listed[tuned]


def test_chats_with_a_tuned_model(client, tuned):
    assert ask(client, tuned).model == tuned


def test_deletes_a_tuned_model(engine, client, tuned, upload):
    before = set((engine.home / "models").iterdir())
    assert client.models.delete(tuned).deleted
    assert len(before - set((engine.home / "models").iterdir())) == 1
    for call in (client.models.retrieve, client.models.delete, lambda name: ask(client, name)):
        with pytest.raises(openai.NotFoundError) as refused:
            call(tuned)
        assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as refused:
        client.fine_tuning.jobs.create(model=tuned, training_file=upload())
    assert refused.value.code == "model_not_found"


def test_a_base_cannot_be_deleted(client):
    for name in ("nano", "gpt-3.5-turbo"):
        with pytest.raises(openai.PermissionDeniedError):
            client.models.delete(name)
    assert client.models.retrieve("nano").id == "nano"


@pytest.mark.parametrize("name", ["gpt-4o", "a/b", "../../etc", "ft:nano:local::nope", "ü"])
def test_an_unknown_model(client, name):
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve(name)
    assert refused.value.code == "model_not_found"
