"""What the tests of Together share: the host on a socket, the engine in its place."""

import contextlib
from dataclasses import replace

from langchain_finetune.engines import ENGINES, engine_of
from langchain_finetune.engines.base import Pace
from langchain_finetune.engines.flow import Retry
from support.servers import served
from support.together_host import BASE, KEY, app_of

QUICK = Pace(Retry(first_s=0.01), looks=(0.01, 0.01), poll_s=(0.01, 0.01), model_appears_s=0.0)


@contextlib.contextmanager
def serving(host, monkeypatch, around=None):
    """Serve a host, and let the environment name it; yields its address."""
    with served(app_of(host, around)) as url:
        host.url = url
        monkeypatch.setenv("TOGETHER_BASE_URL", url)
        monkeypatch.setenv("TOGETHER_API_KEY", KEY)
        monkeypatch.setitem(ENGINES, "together", replace(engine_of("together"), pace=QUICK))
        yield url


SETTINGS = {"model": BASE, "engine": "together"}
