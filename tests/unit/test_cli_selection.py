"""The command line's options select the same chats as a loader's arguments."""

import pytest
import typer

from langchain_finetune import (
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
    LoadError,
    RunFileChatLoader,
    RunQuery,
)
from langchain_finetune.cli.options import chat_loader


def test_options_become_a_query(tmp_path):
    kept = tmp_path / "query.json"
    kept.write_text(RunQuery(project_name="app", tags="a", limit=5).model_dump_json())
    loader = chat_loader(
        query=kept,
        feedback=["user_score>0", "judge >= 0.5", "label=good", "seen"],
        metadata=["tenant=acme", "rule=a=b"],
        since="2026-11-01",
        limit=7,
        last_calls=True,
    )
    assert isinstance(loader, LangSmithRunChatLoader)
    assert loader.calls == "last"
    assert loader.query == RunQuery(
        project_name="app",
        tags="a",
        feedback=[
            {"key": "user_score", "above": 0},
            {"key": "judge", "at_least": 0.5},
            {"key": "label", "value": "good"},
            {"key": "seen"},
        ],
        metadata={"tenant": "acme", "rule": "a=b"},
        start_time="2026-11-01",
        limit=7,
    )


def test_several_projects_a_dataset_and_files():
    assert chat_loader(project=["a", "b"]).query.project_names == ("a", "b")
    assert isinstance(chat_loader(dataset="d"), LangSmithDatasetChatLoader)
    files = chat_loader(file=["x.jsonl", "y/"])
    assert isinstance(files, RunFileChatLoader)
    assert files.path == ["x.jsonl", "y/"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"project": ["a"], "dataset": "d"},
        {"file": ["a"], "limit": 3},
        {"dataset": "d", "last_calls": True},
        {"project": ["a"], "metadata": ["tenant"]},
        {"project": ["a"], "feedback": ["user_score>good"]},
    ],
)
def test_what_does_not_go_together_is_a_usage_error(options):
    with pytest.raises(typer.BadParameter):
        chat_loader(**options)


def test_a_wrong_condition_or_file_is_one_sentence(tmp_path):
    with pytest.raises(LoadError, match="start_time"):
        chat_loader(project=["a"], since="yesterday")
    broken = tmp_path / "query.json"
    broken.write_text('{"projekt": "a"}')
    with pytest.raises(LoadError, match=r"query\.json is not .* argument 'projekt'; did you mean"):
        chat_loader(query=broken)
