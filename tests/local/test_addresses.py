"""Where an engine listens: at home by default, elsewhere only if nobody can listen in."""

import contextlib
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from langsmith import Client
from openai import OpenAI

from langchain_finetune.engines.local import find_engine
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.home import KEY_VARIABLE, RunningEngine, ensure_key
from langchain_finetune.local.addresses import Certificate, certificate_of, choose_endpoints, url_of
from langchain_finetune.local.server import serve
from support.certificates import write_certificate

ENGINE = (sys.executable, "-m", "langchain_finetune.local")


@contextlib.contextmanager
def running(home, until, *options):
    """An engine of the command line; yields its log."""
    log = home / "log"
    command = [*ENGINE, "--home", str(home), "--log-file", str(log), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: RunningEngine.read(home) or process.poll() is not None)
            assert process.returncode is None, process.stderr.read().decode()
            yield log.read_text
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def public_url(log):
    [url] = re.findall(r"The engine is public at (\S+)", log())
    return url.replace("0.0.0.0", "127.0.0.1")


def get(url, key=None, context=None):
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "8.8.8.8"])
def test_an_address_that_others_reach_takes_a_certificate(tmp_path, host):
    with pytest.raises(EngineError, match=r"others could read the key.*--tls-cert, --tls-key"):
        serve(tmp_path, host=host)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("host", ["", "no such host", "x" * 300, "a..b", "\x00", "[::1]"])
def test_a_host_that_is_none(tmp_path, host):
    with pytest.raises(EngineError, match=r"is not a valid host. Use 127\.0\.0\.1"):
        serve(tmp_path, host=host)


def test_an_address_of_another_machine(tmp_path):
    with pytest.raises(EngineError, match="Cannot listen on port 8123 at"):
        serve(tmp_path, host="192.0.2.1", port=8123, insecure_public=True)


def test_certificates_that_are_none(tmp_path):
    chain, key = write_certificate(tmp_path)
    assert certificate_of(None, None) is None
    with pytest.raises(EngineError, match="requires both"):
        certificate_of(chain, None)
    for bad in (Certificate(key, chain), Certificate(chain, tmp_path / "none")):
        with pytest.raises(EngineError, match="not a certificate and its key"):
            choose_endpoints("0.0.0.0", 0, certificate=bad, insecure_public=False)
    locked = Certificate(*write_certificate(tmp_path, password=b"secret"))
    with pytest.raises(EngineError, match="without a password"):
        choose_endpoints("0.0.0.0", 0, certificate=locked, insecure_public=False)
    with pytest.raises(EngineError, match="only for a public address"):
        choose_endpoints("127.0.0.1", 0, certificate=Certificate(chain, key), insecure_public=False)


def test_urls():
    assert url_of("127.0.0.1", 1) == "http://127.0.0.1:1"
    assert url_of("::", 2, tls=True) == "https://[::]:2"


def test_the_loopback_address_of_ipv6(tmp_path, until):
    with running(tmp_path, until, "--host", "::1"):
        engine = find_engine(tmp_path)
        assert engine.url.startswith("http://[::1]:")
        key = engine.api_key.get_secret_value()
        with OpenAI(base_url=engine.base_url, api_key=key) as client:
            assert client.models.retrieve("nano").id == "nano"


def test_others_come_by_tls_and_programs_here_as_ever(tmp_path, until):
    chain, secret = write_certificate(tmp_path)
    options = ("--host", "0.0.0.0", "--tls-cert", str(chain), "--tls-key", str(secret))
    with running(tmp_path, until, *options) as log:
        url, engine = public_url(log), find_engine(tmp_path)
        assert url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(chain))
        assert get(f"{url}/v1/models", engine.api_key, trusting) == 200
        assert get(f"{url}/v1/models", None, trusting) == 401
        with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
            get(f"{url}/v1/models", engine.api_key)
        with pytest.raises((urllib.error.URLError, OSError)):
            get(url.replace("https", "http") + "/health")
        assert engine.url.startswith("http://127.0.0.1:")
        assert not url.endswith(engine.url.rpartition(":")[2])
        assert get(f"{engine.url}/v1/models", engine.api_key) == 200
        home_url = engine.url
    with running(tmp_path, until):
        assert find_engine(tmp_path).url == home_url


def test_clients_trust_a_certificate_by_the_environment(tmp_path, until, monkeypatch):
    """As the README says it."""
    chain, secret = write_certificate(tmp_path)
    options = ("--host", "0.0.0.0", "--tls-cert", str(chain), "--tls-key", str(secret))
    with running(tmp_path, until, *options) as log:
        url, key = public_url(log), find_engine(tmp_path).api_key.get_secret_value()
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
        with OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            assert client.models.retrieve("nano").id == "nano"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(chain))
        with contextlib.closing(Client(api_url=url, api_key=key)) as client:
            assert client.read_project(project_name="default").name == "default"


def test_others_come_without_tls_where_that_is_asked_for(tmp_path, until):
    with running(tmp_path, until, "--host", "0.0.0.0", "--insecure-public") as log:
        url, key = public_url(log), find_engine(tmp_path).api_key
        assert get(f"{url}/v1/models", key) == 200
        assert get(f"{url}/v1/models") == 401
        assert "not encrypted" in log()


def test_a_key_that_others_would_guess(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    with pytest.raises(EngineError, match="too short"):
        serve(tmp_path, host="0.0.0.0", insecure_public=True)


def test_a_key_that_others_can_read(tmp_path, monkeypatch):
    key = ensure_key(tmp_path)
    kept = tmp_path / "api_key"
    assert kept.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620):
        kept.chmod(mode)
        with pytest.raises(FineTuningError, match="run 'chmod 600"):
            serve(tmp_path)
    assert not (tmp_path / "engine.json").exists()
    kept.chmod(0o600)
    assert ensure_key(tmp_path) == key
    kept.chmod(0o644)
    monkeypatch.setenv(KEY_VARIABLE, "another")
    assert ensure_key(tmp_path).get_secret_value() == "another"
