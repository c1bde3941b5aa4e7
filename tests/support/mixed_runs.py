"""Files with rows of all kinds, and all that a conversion of them makes and says."""

import gzip
import hashlib
import json
import random
from dataclasses import astuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from bench.agent_runs import agent_run
from langchain_finetune.convert.rows import Target
from langchain_finetune.finetune.training_files import write_training_files
from support.dialects import RUNS
from support.usual_runs import USUAL

KEY = "AKIAIOSFODNN7" + "EXAMPLE"


def said(text, asked="Hi"):
    return {
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": text}]
    }


def mixed(first, count=40):
    """Rows of all kinds: runs, lines, copies and near copies, and what can't be learnt from."""
    draw = random.Random(first)
    rows = [agent_run(number) for number in range(first, first + count)]
    rows[1]["outputs"]["generations"][0][0]["generation_info"]["finish_reason"] = "length"
    rows[2]["error"], rows[3]["run_type"], rows[4]["name"] = "It failed", "chain", "bench-7"
    for number in (8, 9, 10):
        rows[number]["extra"]["metadata"]["thread_id"] = "talk"
        rows[number]["feedback_stats"] = {"user_score": {"n": 1, "avg": float(number % 2)}}
    copy = json.loads(json.dumps(rows[5]))
    near = json.loads(json.dumps(rows[6]))
    near["inputs"]["messages"][0][1]["kwargs"]["content"] += " Please."
    copy["id"], near["id"] = f"copy-{first}", f"near-{first}"
    rows += [copy, near, *USUAL.values(), *(run for run, *_ in RUNS.values())]
    rows += [said(f"The key is {KEY}."), said(f"{KEY} it was, {first}"), said("Same"), said("Same")]
    rows += [said(f"Word {number} {first}") for number in range(5)]
    rows += [{**said("Group"), "group": f"g-{number}"} for number in range(3)]
    empty = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": ""}]}
    many = [each for number in range(30) for each in said(f"{number} of many" * 9)["messages"]]
    rows += [empty, {"messages": []}, {"no": "run"}, {**said("Tools"), "tools": []}]
    rows += [{"messages": many}, {"prompt": "Once", "completion": f" upon {first}"}]
    pair = said("Better")["messages"]
    for number in range(8):
        worse = [{"role": "assistant", "content": f"Worse {number} {first}"}]
        rows.append({"input": {"messages": pair[:1]}, "preferred_output": pair[1:],
                     "non_preferred_output": worse})  # fmt: skip
        thumb = said(f"Thumb {number}", f"Question {first} {number}")
        rows.append({**thumb, "label": bool(number % 2)})
    draw.shuffle(rows)
    lines = [orjson.dumps(row) for row in rows]
    lines[5:5] = [b"", b"{broken", b'{"text": "\xff"}', b"  ", b"[1, 2]"]
    return lines


def write_corpus(folder):
    """Write files of all formats."""
    (folder / "a.jsonl").write_bytes(b"\n".join(mixed(0)))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf\n" + b"\n".join(mixed(40))))
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(b"\r\n".join(mixed(20, 30)) + b"\n"))
    document = json.dumps([agent_run(number) for number in range(100, 104)], indent=1)
    (folder / "d.json").write_text(document)
    runs = [
        {key: json.dumps(value) if isinstance(value, dict) else value for key, value in run.items()}
        for run in (agent_run(number) for number in range(200, 230))
    ]
    table = pa.Table.from_pylist(runs).drop_columns(["parent_run_ids"])
    pq.write_table(table, folder / "e.parquet", row_group_size=4)


def outcome(examples, folder, target=Target()):  # noqa: B008 - it is frozen
    """Return all that a conversion makes and says."""
    made = write_training_files(examples, folder, target=target)
    return {
        **{
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in made.folder.iterdir()
        },
        "contract": made.contract.model_dump(),
        "rejected": [astuple(skip) for skip in examples.rejected],
        "notes": list(examples.notes.items()),
        "findings": [(each, dict(each.source)) for each in examples.findings],
        "counts": (examples.findings.errors, examples.findings.warnings, examples.findings.fixed),
        "read": examples.chats_read,
    }
