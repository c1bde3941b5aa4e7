"""Load on an engine that is killed at any moment, and the book of what it has acknowledged.

Each actor has a thread and a client of its own. It writes into the book only what was answered;
what was asked for and not answered may have happened or not, and is left out of the checks.
"""

import hashlib
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import openai

ENDED = {"succeeded", "failed", "cancelled"}
LOST = (openai.APIConnectionError, httpx.TransportError)
"""How a client sees that the engine has gone."""

LINE = b'{"messages":[{"role":"user","content":"%d"},{"role":"assistant","content":"b"}]}\n'


@dataclass
class Book:
    """What was acknowledged.

    Attributes:
        files: SHA-256 of the content by the file's id.
        uploads: Both halves of the content, and the ids of the parts that are there, by the pending
            upload's id.
        jobs: The last acknowledged wish by job: `run`, `cancelled` or `paused`.
        ended: What an ended job looked like.
        events: Ids of a job's events in order, as far as they were seen.
        models: Names of models that were seen.
        runs: Inputs by the run's id.
        feedback: Score by the feedback's id.
        datasets: Ids of the examples by the dataset's id.
        gone: Paths of what was deleted; it may still be in the lists above.
        unsure: Ids of what a request without an answer was about.
    """

    files: dict = field(default_factory=dict)
    uploads: dict = field(default_factory=dict)
    jobs: dict = field(default_factory=dict)
    ended: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    models: set = field(default_factory=set)
    runs: dict = field(default_factory=dict)
    feedback: dict = field(default_factory=dict)
    datasets: dict = field(default_factory=dict)
    gone: set = field(default_factory=set)
    unsure: set = field(default_factory=set)

    def sure(self, ids):
        return [each for each in ids if each not in self.unsure]


@contextmanager
def about(book, key):
    """A request that changes what is in the book already: unanswered, it may have happened."""
    book.unsure.add(key)
    yield
    book.unsure.discard(key)


class Actor:
    """Does things at random until its engine has gone."""

    def __init__(self, engine, book, seed, most_jobs):
        self.book = book
        self.chance = random.Random(seed)
        self.most_jobs = most_jobs
        self.client = engine.client(max_retries=0)
        headers = {"X-API-Key": engine.key}
        self.store = httpx.Client(base_url=engine.url, headers=headers, timeout=60)
        self.failure = None

    def run(self, stop):
        deeds = [self.file, self.upload, self.job, self.look, self.runs, self.feedback]
        deeds += [self.dataset, self.forget]
        try:
            while not stop.is_set():
                self.chance.choice(deeds)()
        except LOST:
            pass
        except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
            self.failure = error
        finally:
            self.client.close()
            self.store.close()

    def _content(self):
        start = self.chance.randrange(10**6)
        return b"".join(LINE % (start + n) for n in range(self.chance.choice([12, 400])))

    def _pick(self, known):
        known = self.book.sure(list(known))
        return self.chance.choice(known) if known else None

    def file(self):
        content = self._content()
        made = self.client.files.create(file=("a.jsonl", content), purpose="fine-tune").id
        if self.chance.random() < 0.2:
            self.client.files.delete(made)
            self.book.gone.add(f"/v1/files/{made}")
        else:
            self.book.files[made] = hashlib.sha256(content).hexdigest()

    def upload(self):
        content = self._content()
        upload = self.client.uploads.create(
            filename="b.jsonl", bytes=len(content), mime_type="text/plain", purpose="fine-tune"
        ).id
        halves = content[: len(content) // 2], content[len(content) // 2 :]
        parts = []
        self.book.uploads[upload] = halves, parts
        for half in halves:
            # One by one: what is acknowledged has to be in the book at once.
            parts.append(self.client.uploads.parts.create(upload, data=half).id)  # noqa: PERF401
        if self.chance.random() < 0.5:
            finish(self.book, self.client, upload)

    def job(self):
        file = self._pick(self.book.files)
        if file is None or len(self.book.jobs) >= self.most_jobs:
            return
        jobs = self.client.fine_tuning.jobs
        try:
            made = jobs.create(model="nano", training_file=file, seed=8).id
        except (openai.RateLimitError, openai.BadRequestError):
            # The queue is full, or another actor has deleted the file.
            return
        self.book.jobs[made] = "run"
        wish = self.chance.choice(["run", "run", "cancelled", "paused"])
        if wish != "run":
            with about(self.book, made):
                try:
                    given = (jobs.cancel if wish == "cancelled" else jobs.pause)(made).status
                except openai.BadRequestError:
                    # It has ended before.
                    given = "run"
                self.book.jobs[made] = "run" if given in ENDED - {"cancelled"} else given

    def look(self):
        job = self._pick(self.book.jobs)
        if job is None:
            return
        found = self.client.fine_tuning.jobs.retrieve(job)
        ids = [each.id for each in self.client.fine_tuning.jobs.list_events(job, limit=1000)][::-1]
        self.book.events[job] = max(ids, self.book.events.get(job, []), key=len)
        if found.status in ENDED:
            self.book.ended[job] = found.to_dict()
        if found.fine_tuned_model:
            self.book.models.add(found.fine_tuned_model)

    def runs(self):
        new = [str(uuid4()) for _ in range(self.chance.choice([1, 20]))]
        inputs = {each: {"n": self.chance.random()} for each in new}
        post = [
            {
                "id": each,
                "trace_id": each,
                "dotted_order": f"20261101T000000000000Z{each}",
                "name": "app",
                "run_type": "chain",
                "inputs": inputs[each],
                "start_time": "2026-11-01T00:00:00",
                "session_name": "load",
            }
            for each in new
        ]
        self.store.post("/runs/batch", json={"post": post}).raise_for_status()
        self.book.runs |= inputs

    def feedback(self):
        run = self._pick(self.book.runs)
        if run is None:
            return
        made, score = str(uuid4()), self.chance.random()
        body = {"id": made, "run_id": run, "key": "user_score", "score": score}
        self.store.post("/feedback", json=body).raise_for_status()
        self.book.feedback[made] = score

    def dataset(self):
        made = self.store.post("/datasets", json={"name": str(uuid4()), "data_type": "kv"})
        dataset = made.raise_for_status().json()["id"]
        examples = self.book.datasets[dataset] = set()
        for _ in range(3):
            example = str(uuid4())
            body = {"id": example, "dataset_id": dataset, "inputs": {"tea": 1}, "outputs": {}}
            self.store.post("/examples", json=body).raise_for_status()
            examples.add(example)

    def forget(self):
        """Delete a model or a piece of feedback, now and then."""
        kind = self.chance.choice(["models", "feedback"])
        known = getattr(self.book, kind)
        key = self._pick(known) if self.chance.random() < 0.3 else None
        if key is None:
            return
        path = f"/v1/models/{key}" if kind == "models" else f"/feedback/{key}"
        with about(self.book, key):
            answer = self.store.delete(path)
            # Another actor may have been faster.
            if answer.status_code != httpx.codes.NOT_FOUND:
                answer.raise_for_status()
            self.book.gone.add(path)


def finish(book, client, upload):
    """Bring an upload to its end, from whichever parts are there."""
    halves, parts = book.uploads[upload]
    with about(book, upload):
        for half in halves[len(parts) :]:
            parts.append(client.uploads.parts.create(upload, data=half).id)
        done = client.uploads.complete(upload, part_ids=parts)
        book.files[done.file.id] = hashlib.sha256(b"".join(halves)).hexdigest()
        del book.uploads[upload]


@contextmanager
def under_load(engine, book, seed, actors, most_jobs):
    """Let actors work; at the end they must have stopped only since the engine has gone."""
    stop = threading.Event()
    crew = [Actor(engine, book, f"{seed}.{n}", most_jobs) for n in range(actors)]
    threads = [threading.Thread(target=actor.run, args=[stop]) for actor in crew]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for actor in crew:
        if actor.failure:
            raise actor.failure
