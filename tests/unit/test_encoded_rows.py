"""Lines of usual runs go through the default steps as they are: parsing them doubles the time."""

import orjson
import pytest

from langchain_finetune import Convert, RunFileChatLoader, Split
from langchain_finetune.convert.rows import Row
from support.usual_runs import USUAL


@pytest.mark.parametrize(
    "options", [{}, {"duplicates": "drop_exact"}, {"split": Split(validation=0.3)}]
)
def test_no_row_is_parsed(tmp_path, monkeypatch, options):
    runs = [{**run, "id": f"{run['id']}-{number}"} for number, run in enumerate(USUAL.values())]
    (tmp_path / "runs.jsonl").write_bytes(b"".join(orjson.dumps(run) + b"\n" for run in runs))
    parsed = []
    example = Row.example.fget

    def noted(row):
        if row.encoded is not None:
            parsed.append(row.id)
        return example(row)

    monkeypatch.setattr(Row, "example", property(noted))
    examples = Convert(**options).invoke(RunFileChatLoader(tmp_path / "runs.jsonl"))
    if "split" in options:
        examples = examples.part("train")
    examples.write_jsonl(tmp_path / "train.jsonl")
    assert examples.chats_read == len(runs)
    # Without tools, a duplicate's key is taken from the example.
    assert len(parsed) <= 1
