"""`Convert(rules="local")` and the engine say the same of each example, over HTTP."""

import json

from langchain_finetune import Convert
from langchain_finetune.checks import LOCAL
from langchain_finetune.convert.check_rows import checked_rows
from langchain_finetune.convert.rows import Outcome, Row
from langchain_finetune.messages import WireMessages
from support.broken import ANSWER, USER, chat
from support.broken_calls import CALLS
from support.broken_messages import MESSAGES
from support.broken_tools import TOOLS

EXAMPLES = {
    broken.name: broken.example
    for broken in [*MESSAGES, *TOOLS, *CALLS]
    if not isinstance(broken.example, bytes)
}
GOOD = json.dumps(chat(USER, ANSWER)).encode()


def judged(*, fix=False):
    """What the check of `Convert(rules="local")` makes of the corpus."""
    outcome = Outcome()
    rows = [Row(name, {}, example=example) for name, example in EXAMPLES.items()]
    kept = [row.line for row in checked_rows(rows, outcome, LOCAL, fix=fix)]
    return kept, outcome


def test_what_it_accepts_the_engine_accepts(client, upload, ended, way):
    kept, outcome = judged()
    fixed, after = judged(fix=True)
    assert len(kept) >= 20
    assert len(fixed) >= len(kept) + 10
    assert len(kept) + len(outcome.rejected) == len(fixed) + len(after.rejected) == len(EXAMPLES)
    for lines in (kept, fixed):
        file = upload(b"".join(lines))
        job = client.fine_tuning.jobs.create(model="nano", training_file=file, seed=way.SUCCEED)
        assert ended(job.id).status == "succeeded"


def test_what_it_rejects_the_engine_rejects_for_the_same_reason(client, upload, ended, way):
    _, outcome = judged()
    errors = {}
    for finding in outcome.findings:
        if finding.severity == "error":
            errors.setdefault(finding.id, finding)
    assert len(errors) == len(outcome.rejected) > 60
    jobs = {}
    for name in errors:
        # JSON writes half characters as escapes.
        line = json.dumps(EXAMPLES[name]).encode()
        file = upload(b"\n".join([*[GOOD] * 10, line, GOOD]))
        jobs[name] = client.fine_tuning.jobs.create(
            model="nano", training_file=file, seed=way.SUCCEED
        )
    for name, job in jobs.items():
        finding, failed = errors[name], ended(job.id)
        place = "" if finding.index is None else f", message {finding.index}"
        assert (failed.status, failed.error.code) == ("failed", "invalid_training_file"), name
        assert failed.error.message == (
            f"Line 11 of the training file: {finding.message} (rule {finding.code}{place})"
        ), name


def test_whole_conversions_agree_too(client, upload, ended, way):
    """Sessions of the corpus through `Convert`, as far as a session can say them."""
    sessions = [
        {
            "messages": WireMessages(example["messages"]),
            "source": {"run_id": name},
            **{key: example[key] for key in ("tools", "functions") if example.get(key)},
        }
        for name, example in EXAMPLES.items()
        if isinstance(example, dict)
        and isinstance(example.get("messages"), list)
        and all(isinstance(message, dict) and "role" in message for message in example["messages"])
    ]
    examples = Convert(rules="local", fix=True).invoke(sessions)
    lines = [row.line for row in examples.rows()]
    assert len(lines) > 30
    assert len(lines) + len(examples.rejected) == len(sessions)
    job = client.fine_tuning.jobs.create(
        model="nano", training_file=upload(b"".join(lines)), seed=way.SUCCEED
    )
    assert ended(job.id).status == "succeeded"
