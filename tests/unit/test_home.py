"""The engine's home: where it is, and its key when two processes make one at once."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import platformdirs
import pytest
from filelock import FileLock

from langchain_finetune import FineTuningError, Job
from langchain_finetune.cli.model_output import python_for
from langchain_finetune.home import (
    HOME_VARIABLE,
    KEY_VARIABLE,
    ensure_home,
    ensure_key,
    holds_lock,
    home_path,
    read_key,
)


def test_without_a_variable_it_is_the_platforms_folder(monkeypatch):
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    assert home_path() == platformdirs.user_data_path("langchain-finetune")


def test_two_that_make_the_key_at_once_use_the_same(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    together, token = threading.Barrier(2), secrets.token_urlsafe

    def at_once(size):
        together.wait(30)
        return token(size)

    monkeypatch.setattr(secrets, "token_urlsafe", at_once)
    with ThreadPoolExecutor() as threads:
        keys = {key.get_secret_value() for key in threads.map(ensure_key, [tmp_path] * 2)}
    assert keys == {read_key(tmp_path).get_secret_value()}
    assert [path.name for path in tmp_path.iterdir()] == ["api_key"]


def test_a_lock_that_can_not_be_opened_is_not_ours(tmp_path):
    (tmp_path / "engine.lock").mkdir()
    assert holds_lock(tmp_path) is False
    (tmp_path / "engine.lock").rmdir()
    with FileLock(tmp_path / "engine.lock"):
        assert holds_lock(tmp_path) is True


def test_a_home_below_a_file_can_not_be_used(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FineTuningError, match="cannot be used"):
        ensure_home(tmp_path / "file" / "home")


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (
            Job(job_id="ftjob-1", engine="local", base_model="nano"),
            """
    from langchain_finetune import FineTune

    step = FineTune(model='nano', engine='local')
    model = step.from_job_id('ftjob-1').model()""",
        ),
        (
            Job(
                job_id="ftjob-1",
                engine="azure",
                base_url="https://acme.example/openai/v1",
                base_model="gpt-4o",
            ),
            """
    from langchain_finetune import FineTune, AzureDeployment
    deployment = AzureDeployment(...)

    step = FineTune(model='gpt-4o', engine='azure', base_url='https://acme.example/openai/v1',\
 deployment=deployment)
    model = step.from_job_id('ftjob-1').model(deployment=deployment)""",
        ),
    ],
)
def test_how_a_model_is_used_in_python(job, expected):
    assert python_for(job) == expected.removeprefix("\n")
