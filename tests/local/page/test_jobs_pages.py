"""The list of jobs and a job's page, with a trainer that only pretends."""

import csv
import datetime as dt
import io
import re
from urllib.parse import quote

import pytest

from langchain_finetune.local.jobs.schemas import EventRecord
from langchain_finetune.local.page.render_html import render_fragment

MARKUP = "<script>alert(1)</script>"


def shows_no_markup(page):
    sources = [each.get("src") for each in page.all("script")]
    return MARKUP not in page.html and None not in sources


@pytest.fixture
def running(create, client, engine, until, way):
    """A job whose training waits, and goes on for ever."""
    job = create(seed=way.WAIT)
    until(lambda: client.fine_tuning.jobs.retrieve(job.id).status == "running")
    yield job
    if client.fine_tuning.jobs.retrieve(job.id).status in {"running", "paused", "queued"}:
        client.fine_tuning.jobs.cancel(job.id)


def test_a_finished_job_tells_all(visitor, create, ended, client, upload):
    job = ended(create(suffix="front desk", validation_file=upload(), seed=0).id)
    page = visitor.get(f"/ui/jobs/{job.id}")
    assert page.status == 200
    for shown in (
        "front desk",
        "succeeded",
        job.fine_tuned_model,
        "train.jsonl",
        job.training_file,
        "Epochs 3 chosen by the engine",
        "Loss over 3 steps. Training: last 0.3333, lowest 0.3333 at step 3.",
        "Validation: last 0.5",
        "loss, nats per token",
        "The job has successfully completed",
    ):
        assert shown in page.text or shown in page.html
    for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id):
        assert checkpoint.fine_tuned_model_checkpoint in page.text
    assert [line["class"] for line in page.all("polyline")] == ["line training", "line validation"]
    # Nothing asks for more: the job has ended.
    assert page.all("div", **{"data-state": "succeeded"}) != []
    assert not any("data-live" in each for each in page.all("div"))
    assert page.all("form", method="post")[1:] == []


def test_the_figures_are_a_csv_that_spreadsheets_open(visitor, create, ended, ask, cookie):
    job = ended(create().id)
    [address] = [
        each["href"] for each in visitor.get(f"/ui/jobs/{job.id}").all("a") if "download" in each
    ]
    status, headers, text = ask("GET", address, {"Cookie": cookie})
    assert status == 200
    assert headers["content-disposition"].startswith(f"attachment; filename*=UTF-8''{job.id}")
    assert next(csv.DictReader(io.StringIO(text)))["train_loss"] == "1.0"
    assert visitor.get(f"/ui/jobs/{job.id}/results/{job.training_file}").status == 404


def test_a_running_job_is_live_and_can_be_paused_resumed_and_cancelled(
    visitor, running, client, until
):
    address = f"/ui/jobs/{running.id}"
    until(lambda: "step 3 of 3" in visitor.get(address).text)
    page = visitor.get(address)
    assert any("data-live" in each for each in page.all("div"))
    assert page.all("progress")[0] | {"max": "3", "value": "3"} == page.all("progress")[0]
    assert "Without JavaScript, reload this page" in page.text
    assert page.all("script", src="/ui/static/job.js") != []

    page = visitor.post(f"{address}/pause")
    assert page.address == address
    assert "The job is paused." in page.text
    page = visitor.post(f"{address}/pause")
    assert "can't be paused" in page.text
    page = visitor.post(f"{address}/resume")
    assert client.fine_tuning.jobs.retrieve(running.id).status != "paused"
    page = visitor.post(f"{address}/cancel")
    assert "The job is cancelled." in page.text
    assert not any("data-live" in each for each in page.all("div"))
    page = visitor.post(f"{address}/cancel")
    assert "Job has already ended" in page.text


def test_the_live_part_is_a_fragment_that_leaves_notices_to_the_page(visitor, running):
    address = f"/ui/jobs/{running.id}"
    visitor._client.follow_redirects = False
    visitor.post(f"{address}/cancel")
    part = visitor.get(f"{address}/live")
    assert part.all("html") == []
    assert "Created fine-tuning job" in part.text
    assert "The job is cancelled." not in part.text
    assert "The job is cancelled." in visitor.get(address).text


def test_a_failed_job_says_why(visitor, create, ended, way):
    job = ended(create(seed=way.FAIL).id)
    page = visitor.get(f"/ui/jobs/{job.id}")
    assert "failed" in page.text
    assert "Example 3 is too long." in page.text


def test_a_deleted_file_is_told(visitor, create, ended, client):
    job = ended(create().id)
    client.files.delete(job.training_file)
    assert "deleted" in visitor.get(f"/ui/jobs/{job.id}").text


def test_a_deleted_model_is_told(visitor, create, ended, client):
    job = ended(create().id)
    page = visitor.get(f"/ui/jobs/{job.id}")
    assert ("Compare with its base" in page.text, "deleted" in page.text) == (True, False)
    client.models.delete(job.fine_tuned_model)
    page = visitor.get(f"/ui/jobs/{job.id}")
    assert ("Compare with its base" in page.text, "deleted" in page.text) == (False, True)
    assert job.fine_tuned_model in page.text
    assert [each for each in page.all("a") if "playground?model" in each["href"]] == []


def test_jobs_are_listed_in_parts(visitor, create, client, way):
    made = [create(suffix=f"number {number}", seed=way.SUCCEED).id for number in range(27)]
    page = visitor.get("/ui/jobs")
    listed = [
        each["href"].rpartition("/")[2] for each in page.all("a") if "/ftjob-" in each["href"]
    ]
    assert listed == made[::-1][:25]
    assert "number 26" in page.text
    [older] = [each["href"] for each in page.all("a") if "after=" in each["href"]]
    assert made[1] in visitor.get(older).html
    for job_id in made:
        if client.fine_tuning.jobs.retrieve(job_id).status in {"queued", "validating_files"}:
            client.fine_tuning.jobs.cancel(job_id)


def test_all_events_are_listed(visitor, create, ended):
    job = ended(create(hyperparameters={"n_epochs": 30}).id)
    page = visitor.get(f"/ui/jobs/{job.id}")
    assert "Created fine-tuning job" not in page.text
    assert page.all("a", href=f"/ui/jobs/{job.id}/events") != []
    assert "Created fine-tuning job" in visitor.get(f"/ui/jobs/{job.id}/events").text


@pytest.mark.parametrize("address", ["", "/live", "/events", "/results/file-1"])
def test_an_unknown_job_is_no_page(visitor, address):
    page = visitor.get(f"/ui/jobs/ftjob-unknown{address}")
    assert page.status == 404
    assert "Could not find fine tune" in page.text


def test_a_suffix_with_markup_is_text(visitor, create, ended):
    job = ended(create(suffix=MARKUP).id)
    for address in ("/ui/jobs", f"/ui/jobs/{job.id}", f"/ui/jobs/{job.id}/events", "/ui/models"):
        page = visitor.get(address)
        assert page.status == 200
        assert shows_no_markup(page)
    assert MARKUP in visitor.get(f"/ui/jobs/{job.id}").text


def test_an_event_with_markup_is_text():
    event = EventRecord(id="e", created_at=1, job="j", level="error", message=MARKUP)
    html = render_fragment("_events.html", events=[event])
    assert MARKUP not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_other_sites_can_change_no_job(ask, cookie, running, client, action):
    for origin in ("http://evil.example", "null"):
        headers = {"Cookie": cookie, "Origin": origin}
        assert ask("POST", f"/ui/jobs/{running.id}/{action}", headers, {})[0] == 403
    assert client.fine_tuning.jobs.retrieve(running.id).status == "running"


def listed(visitor, job):
    """The list's line of a job."""
    [line] = [
        line
        for line in visitor.get("/ui/jobs").html.split("<tr>")
        if f'href="/ui/jobs/{job.id}"' in line
    ]
    return line


def test_the_list_shows_what_came_of_a_job(visitor, create, ended, upload, way):
    job = ended(create(suffix="clerk", validation_file=upload(), seed=0).id)
    line = listed(visitor, job)
    model = job.fine_tuned_model
    assert f'href="/ui/models#{quote(model)}">{model}</a>' in line
    assert "loss 0.3333</small>" in line
    assert re.search(r'data-label="Duration">(less than 1 s|\d[\d.]* s)<', line)
    page = visitor.get(f"/ui/jobs/{job.id}")
    assert "loss 0.3333, trained in" in page.text
    failed = listed(visitor, ended(create(seed=way.FAIL).id))
    assert "Example 3 is too long." in failed


def test_a_queued_job_says_what_it_waits_for(visitor, running, create, client, until):
    jobs = [create(suffix=suffix) for suffix in ("second", "third")]
    until(
        lambda: [client.fine_tuning.jobs.retrieve(job.id).status for job in jobs] == ["queued"] * 2
    )
    assert f"waits for {running.id}" in listed(visitor, jobs[0])
    assert f"waits for {running.id} and 1 other job" in listed(visitor, jobs[1])
    assert (
        f"It waits for {running.id} and 1 other job." in visitor.get(f"/ui/jobs/{jobs[1].id}").text
    )
    assert "waits" not in listed(visitor, running)
    client.fine_tuning.jobs.pause(jobs[1].id)
    assert "waits until it is resumed" in listed(visitor, jobs[1])
    for job in jobs:
        client.fine_tuning.jobs.cancel(job.id)
    assert "waits" not in listed(visitor, jobs[1])


def test_files_are_named_by_job_day_and_number_of_examples(
    visitor, create, ended, upload, jsonl, client, until, ask, cookie
):
    job = ended(create(suffix="front desk").id)
    day = f"{dt.datetime.fromtimestamp(job.created_at, dt.UTC):%Y-%m-%d}"
    assert f"front desk, training file, {day}, 12 examples" in visitor.get("/ui/jobs/new").text
    page = visitor.get(f"/ui/jobs/{job.id}")
    assert f"front desk, training file, {day}, 12 examples" in page.text
    # Once its files are checked, also that of a job which waits, and of its validation file.
    waiting = create(validation_file=upload(jsonl(9)), suffix="back desk")
    until(lambda: client.fine_tuning.jobs.retrieve(waiting.id).status != "validating_files")
    text = visitor.get(f"/ui/jobs/{waiting.id}").text
    assert f"back desk, training file, {day}, 12 examples" in text
    assert f"back desk, validation file, {day}, 9 examples" in text
    ended(waiting.id)
    [address] = [each["href"] for each in page.all("a") if "download" in each]
    _, headers, _ = ask("GET", address, {"Cookie": cookie})
    name = quote(f"front desk, {day}, 12 examples.csv")
    assert headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
