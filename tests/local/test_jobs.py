"""The job queue over time: order, cancelling, restarts. Every engine here is a real process."""

import base64
import signal

import openai
import psutil
import pytest


def alive(pid):
    try:
        # One whose engine was killed may stay a zombie where nobody takes note of its end.
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def leftovers(home, job):
    return [*home.glob(f"jobs/{job}/*/"), *home.glob(f"models/{job}")]


@pytest.fixture
def drive(until, jsonl, way):
    """Creates and follows jobs of one engine."""

    class Drive:
        def __init__(self, engine):
            self.engine = engine
            self.client = engine.client()
            self.jobs = self.client.fine_tuning.jobs

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.client.close()
            (self.engine.home / "go").unlink(missing_ok=True)

        def create(self, seed, content=None):
            file = self.client.files.create(
                file=("train.jsonl", jsonl() if content is None else content), purpose="fine-tune"
            )
            return self.jobs.create(model="nano", training_file=file.id, seed=seed).id

        def until(self, job, *status):
            until(lambda: self.jobs.retrieve(job).status in status)
            return self.jobs.retrieve(job)

        def waiting(self, seed=way.WAIT):
            """A job whose trainer runs and waits for `go`."""
            job = self.create(seed)
            events = self.jobs.list_events
            until(lambda: events(job, limit=1).data[0].message.startswith("Step 3/3"))
            return job

        def go(self):
            (self.engine.home / "go").touch()

        def started(self, *jobs):
            return [job for job, _ in self.engine.started() if job in jobs]

        def messages(self, job):
            return [event.message for event in self.jobs.list_events(job)][::-1]

    return Drive


def test_one_at_a_time_in_order(engine, drive, way):
    with drive(engine) as d:
        first = d.waiting()
        others = [d.create(way.SUCCEED) for _ in range(3)]
        for job in others:
            d.until(job, "queued")
        job = d.jobs.retrieve(first)
        assert job.status == "running"
        assert job.hyperparameters.n_epochs == 3
        assert job.estimated_finish >= job.created_at
        d.go()
        for job in (first, *others):
            assert d.until(job, "succeeded", "failed").status == "succeeded"
        assert d.started(first, *others) == [first, *others]


@pytest.mark.parametrize("kind", ["WAIT", "STUBBORN"])
def test_cancel_a_running_job(engine, drive, way, kind):
    with drive(engine) as d:
        job = d.waiting(getattr(way, kind))
        pid = dict(engine.started())[job]
        cancelled = d.jobs.cancel(job)
        assert not alive(pid)
        assert leftovers(engine.home, job) == []
        assert (cancelled.status, cancelled.error) == ("cancelled", None)
        assert cancelled.finished_at
        assert (cancelled.estimated_finish, cancelled.fine_tuned_model) == (None, None)
        assert d.messages(job)[-1] == "Fine-tuning job cancelled"
        with pytest.raises(openai.BadRequestError):
            d.jobs.cancel(job)
        assert d.until(d.create(way.SUCCEED), "succeeded", "failed").status == "succeeded"
        assert d.jobs.retrieve(job).status == "cancelled"


def test_cancel_waiting_jobs(engine, drive, way, jsonl):
    with drive(engine) as d:
        first = d.waiting()
        queued = d.create(way.SUCCEED)
        d.until(queued, "queued")
        assert d.jobs.cancel(queued).status == "cancelled"
        large = d.create(way.SUCCEED, jsonl(200_000))
        assert d.jobs.cancel(large).status == "cancelled"
        d.go()
        d.until(first, "succeeded")
        last = d.create(way.SUCCEED)
        d.until(last, "succeeded")
        assert d.started(first, queued, large, last) == [first, last]


def test_pause_and_resume_a_running_job(engine, drive, way):
    with drive(engine) as d:
        job = d.waiting()
        pid = dict(engine.started())[job]
        paused = d.jobs.pause(job)
        assert (paused.status, paused.estimated_finish) == ("paused", None)
        assert not alive(pid)
        assert d.messages(job)[-1] == "Fine-tuning job paused"
        for call in (d.jobs.pause, lambda job: d.jobs.resume(d.create(way.SUCCEED))):
            with pytest.raises(openai.BadRequestError, match="paused"):
                call(job)
        # Others go on meanwhile.
        assert d.until(d.create(way.SUCCEED), "succeeded", "failed").status == "succeeded"
        d.go()
        assert d.jobs.resume(job).status == "queued"
        assert d.until(job, "succeeded", "failed").status == "succeeded"
        assert "Training on 12 examples in 3 steps (full), going on after step 3" in d.messages(job)
        steps = base64.b64decode(
            d.client.files.content(d.jobs.retrieve(job).result_files[0]).content
        )
        assert [line.split(b",")[0] for line in steps.splitlines()] == [b"step", b"1", b"2", b"3"]
        assert leftovers(engine.home, job) == [engine.home / "models" / job]


def test_pause_waiting_jobs(engine, drive, way, jsonl):
    with drive(engine) as d:
        first, queued = d.waiting(), d.create(way.SUCCEED)
        d.until(queued, "queued")
        validating = d.create(way.SUCCEED, jsonl(200_000))
        assert [d.jobs.pause(job).status for job in (queued, validating)] == ["paused"] * 2
        d.go()
        d.until(first, "succeeded")
        # Nobody waited for it: a fast machine has read its file before it was paused.
        assert d.jobs.resume(validating).status in ("validating_files", "queued")
        assert d.jobs.resume(queued).status == "queued"
        for job in (queued, validating):
            assert d.until(job, "succeeded", "failed").status == "succeeded"
        paused = d.create(way.SUCCEED, jsonl(200_000))
        d.jobs.pause(paused)
        assert d.jobs.cancel(paused).status == "cancelled"


def test_too_many_jobs(engine, drive, way, monkeypatch):
    with drive(engine) as d:
        first = d.waiting()
        file = d.jobs.retrieve(first).training_file
        request = {"model": "nano", "training_file": file, "seed": way.SUCCEED}
        made = [d.jobs.create(**request).id for _ in range(100)]
        with pytest.raises(openai.RateLimitError) as refused:
            d.jobs.create(**request)
        assert refused.value.code == "rate_limit_exceeded"
        for job in made:
            d.jobs.cancel(job)
        d.jobs.cancel(first)


def test_a_file_deleted_while_its_job_waits(engine, drive, way):
    with drive(engine) as d:
        first, second = d.waiting(), d.create(way.SUCCEED)
        file = d.until(second, "queued").training_file
        d.client.files.delete(file)
        d.go()
        job = d.until(second, "succeeded", "failed")
        assert (job.status, job.error.code) == ("failed", "invalid_training_file")
        assert d.until(first, "succeeded").id == first


def test_survives_sigkill_while_a_job_runs(start, drive, until, way):
    with start(stop=False) as engine, drive(engine) as d:
        done = d.create(way.SUCCEED)
        model = d.until(done, "succeeded").fine_tuned_model
        running, queued = d.waiting(), d.create(way.SUCCEED)
        d.until(queued, "queued")
        before = [d.jobs.retrieve(done), d.messages(done), d.client.models.retrieve(model)]
        files = list(d.client.files.list())
        (_, (_, pid)) = engine.started()
        engine.process.kill()
        engine.process.wait()
        until(lambda: not alive(pid))  # its stdin has closed
    (engine.home / "go").touch()
    with start() as engine, drive(engine) as d:
        assert before == [d.jobs.retrieve(done), d.messages(done), d.client.models.retrieve(model)]
        for job in (running, queued):
            assert d.until(job, "succeeded", "failed").status == "succeeded"
            assert sum("started again" in message for message in d.messages(job)) == 1
        assert [job for job, _ in engine.started()] == [done, running, running, queued]
        steps = d.client.files.content(d.jobs.retrieve(running).result_files[0])
        assert steps.content
        assert [file for file in d.client.files.list() if file in files] == files
        assert not list(engine.home.glob("jobs/*/*/"))
        # Three jobs, each with its model and two checkpoints.
        assert len(list(engine.home.glob("models/*"))) == 9


@pytest.mark.parametrize("kind", ["WAIT", "STUBBORN"])
def test_sigterm_stops_the_trainer_and_keeps_the_job(start, drive, way, kind):
    with start() as engine, drive(engine) as d:
        job = d.waiting(getattr(way, kind))
        ((_, pid),) = engine.started()
        engine.process.send_signal(signal.SIGTERM)
        assert engine.process.wait(60) == 0
        assert not alive(pid)
        assert [path.name for path in leftovers(engine.home, job)] == ["work"]
    (engine.home / "go").touch()
    with start() as engine, drive(engine) as d:
        assert d.until(job, "succeeded", "failed").status == "succeeded"
        assert any("going on after step 3" in message for message in d.messages(job))


def test_a_job_whose_processes_are_lost_again_and_again_is_given_up(client, create, ended, way):
    job = ended(create(seed=way.LOST).id)
    assert (job.status, job.error.code) == ("failed", "worker_lost")
    assert job.error.message.startswith("Rank 1 was lost. The job is given up after 5 starts")
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id)]
    again = "Rank 1 was lost. All start again, from the last checkpoint."
    # The second start went on from a checkpoint, and so was the first of five.
    assert messages.count(again) == 5
