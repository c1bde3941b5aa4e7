"""Training files that would take all memory, or stop the engine, once they are parsed."""

from pathlib import Path

import openai
import pytest

MIB = 2**20
ARRAY = b"\xef\xbb\xbf\n [" + b'{"messages": []},' * 1000 + b"{}]"


def peak(engine):
    """Bytes that the engine has held at most, since `forget`."""
    lines = Path(f"/proc/{engine.process.pid}/status").read_text().splitlines()
    [found] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(found) * 1024


def forget(engine):
    # Linux, proc(5).
    Path(f"/proc/{engine.process.pid}/clear_refs").write_text("5")


def test_an_array_of_json_is_refused_at_once(client):
    before = len(client.files.list().data)
    with pytest.raises(openai.BadRequestError, match="are JSON lines: an example a line"):
        client.files.create(file=("a.json", ARRAY), purpose="fine-tune")
    upload = client.uploads.create(
        filename="a.json", bytes=len(ARRAY), mime_type="text/plain", purpose="fine-tune"
    )
    part = client.uploads.parts.create(upload.id, data=ARRAY)
    with pytest.raises(openai.BadRequestError, match="are JSON lines: an example a line"):
        client.uploads.complete(upload.id, part_ids=[part.id])
    client.uploads.cancel(upload.id)
    assert len(client.files.list().data) == before


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")
def test_a_line_of_many_megabytes_is_not_parsed(engine, client, until):
    content = b'{"messages": [' + b"[]," * (40 * MIB // 3) + b"[]]}"
    file = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
    forget(engine)
    before = peak(engine)
    job = client.fine_tuning.jobs.create(model="nano", training_file=file.id).id
    until(lambda: client.fine_tuning.jobs.retrieve(job).status == "failed")
    error = client.fine_tuning.jobs.retrieve(job).error
    assert error.message == (
        "Line 1 of the training file: An example may have at most 16 MB. (rule example_too_large)"
    )
    assert (error.code, error.param) == ("invalid_training_file", "training_file")
    # All of it parsed takes 900 MiB.
    assert peak(engine) - before < 150 * MIB
