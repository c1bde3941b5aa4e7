"""The settings of serving, from the environment and the command line."""

import pytest

from langchain_finetune.errors import EngineError
from langchain_finetune.local.serving import read_settings
from tests.support.command_line import runs_command


def test_what_is_given_goes_before_the_environment():
    environment = {
        "LCFT_MODEL_MEMORY": "1GB",
        "LCFT_UPSTREAM": "http://one:8000/v1",
        "LCFT_UPSTREAM_API_KEY": "secret",
    }
    settings = read_settings(environment)
    assert settings.memory == 10**9
    assert settings.upstream.url == "http://one:8000/v1"
    assert settings.upstream.key.get_secret_value() == "secret"
    assert "secret" not in repr(settings)
    settings = read_settings(environment, memory="512 MiB", upstream="https://two")
    assert settings.memory == 512 * 2**20
    assert settings.upstream.url == "https://two/v1"
    assert read_settings({}).upstream is None
    # As it comes out of a file.
    key = read_settings(environment | {"LCFT_UPSTREAM_API_KEY": " secret\n"})
    assert key.upstream.key.get_secret_value() == "secret"


@pytest.mark.parametrize("key", ["sec\nret", "sécret", "sec\tret"])
def test_a_key_that_no_header_holds(key):
    with pytest.raises(EngineError, match="LCFT_UPSTREAM_API_KEY") as caught:
        read_settings({"LCFT_UPSTREAM_API_KEY": key}, upstream="http://one")
    assert "ret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"memory": "much"}, "4GB"),
        ({"memory": "0"}, "4GB"),
        ({"memory": "-1GB"}, "4GB"),
        ({"upstream": "gpu-box:8000"}, "http://gpu-box:8000/v1"),
        ({"upstream": "ftp://gpu-box"}, "http://gpu-box:8000/v1"),
        ({"upstream": "http://"}, "http://gpu-box:8000/v1"),
        ({"upstream": "http://a:99999999"}, "http://gpu-box:8000/v1"),
        ({"upstream": "http://gpu\0box"}, "An upstream must be an address such as"),
        ({"upstream": "http://user:secret@gpu-box"}, "LCFT_UPSTREAM_API_KEY"),
        ({"upstream": "http://gpu-box/v1?key=secret"}, "LCFT_UPSTREAM_API_KEY"),
        ({"upstream_models": {"a": "b"}}, "--upstream"),
    ],
)
def test_what_can_not_be(settings, said):
    with pytest.raises(EngineError, match=said) as caught:
        read_settings({}, **settings)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model-memory", "much"], "4GB"),
        (["--upstream", "gpu-box"], "http://gpu-box:8000/v1"),
        (["--upstream", "http://a/v1", "--upstream-model", "b"], "name=model"),
        (
            ["--upstream", "http://a", "--alias", "b=nano", "--upstream-model", "b=c"],
            "--upstream-model nano=c",
        ),
    ],
)
def test_the_command_line_says_it_in_one_sentence(monkeypatch, capsys, tmp_path, options, said):
    monkeypatch.setenv("LCFT_HOME", str(tmp_path))
    assert said in runs_command(monkeypatch, capsys)("serve", *options).error
