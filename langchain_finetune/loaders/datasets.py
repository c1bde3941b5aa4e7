"""Chats from LangSmith's datasets."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Self
from uuid import UUID

from langsmith import Client
from langsmith.schemas import Example

from langchain_finetune.dialects.chat_example import read_example
from langchain_finetune.dialects.corrections import answered
from langchain_finetune.dialects.messages import ReasoningPolicy
from langchain_finetune.dialects.run import read_run
from langchain_finetune.dialects.untrusted import readable
from langchain_finetune.errors import InvalidArgumentError, LoadError
from langchain_finetune.loaders.base import SessionLoader
from langchain_finetune.loaders.conversations import fingerprints
from langchain_finetune.loaders.langsmith_client import reading, reading_client
from langchain_finetune.loaders.query import RunQuery
from langchain_finetune.loaders.run_reader import RunReader, find_projects
from langchain_finetune.loaders.run_requests import IDS_PER_REQUEST, Run, RunRequest
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import FineTuningSession, Skip, wire_messages


def against_run(
    session: FineTuningSession, run: Run | None, reasoning: ReasoningPolicy
) -> FineTuningSession:
    """Return an example's session with its run's answer as `rejected`.

    The request is then that of the run, with the tools that an example may lack. If the run is
    unknown, has no chat, or answered other messages, the session stays as it is.
    """
    try:
        chats = read_run(run, reasoning) if run is not None else []
    except UnreadableChatError:
        # The run is optional: the example is complete without it.
        return session
    *request, reference = wire_messages(session)
    for each in chats[:1]:
        if fingerprints({}, wire_messages(each)[:-1]) == fingerprints({}, request):
            return answered(each, reference)
    return session


class LangSmithDatasetChatLoader(SessionLoader):
    """Load chats from a LangSmith dataset: one session per example.

    Replaces `langchain_community.chat_loaders.langsmith.LangSmithDatasetChatLoader`. Reads datasets
    of type chat, key-value datasets with the chat-model schema, and examples made of runs ("Add to
    dataset"), page by page, in any version.

    Args:
        dataset_name: Name of the dataset, if `dataset_id` is not set.
        dataset_id: Id of the dataset.
        as_of: Version tag or time; by default the newest version.
        splits: Load only examples of these splits.
        client: LangSmith's client; by default one from the environment.
        reasoning: How to handle the models' reasoning: `drop` it, counted in
            `Sessions.notes["dropped_reasoning"]`, or `keep` it as `reasoning_content`.
        use_source_run: Fetch the `llm` run from which each example was created
            (`source_run_id`). If example and run have the same request, the run's answer becomes
            the session's `rejected`, and its tools become the session's: so corrections of
            examples become preferences.
        project_name: Project or projects of those runs; LangSmith's new API finds no run without
            one.

    Example:
        ```python
        loader = LangSmithDatasetChatLoader(dataset_name="extraction", splits=["train"])
        model = (loader | Convert() | FineTune(model="nano", engine="local")).invoke({})
        ```
    """

    dataset_name: str | None = None
    dataset_id: UUID | None = None
    as_of: dt.datetime | str | None = None
    splits: Sequence[str] | None = None
    client: Client | None = None
    reasoning: ReasoningPolicy = "drop"
    use_source_run: bool = False
    project_name: str | tuple[str, ...] | None = None

    def read_sessions(
        self, overrides: dict[str, Any], skip: Callable[[Skip], None]
    ) -> Iterator[FineTuningSession]:
        """Yield one session per example; those without a chat are skipped.

        Raises:
            LoadError: LangSmith can't be reached, refuses the key, or has no such dataset.
        """
        if overrides:
            yield from self._changed(overrides).read_sessions({}, skip)
            return
        for example, run in self._examples_and_runs():
            read = partial(_read, example, run, self.reasoning)
            source = {"example_id": str(example.id), "dataset_id": str(example.dataset_id)}
            if example.source_run_id:
                source["run_id"] = str(example.source_run_id)
            for session in readable(str(example.id), read, skip):
                session["source"] = {**session.get("source", {}), **source}
                yield session

    def _changed(self, overrides: dict[str, Any]) -> Self:
        """Return a loader with other settings; a name or an id replaces the other."""
        kept = self.model_dump(exclude={"client", "name"}, exclude_none=True)
        if overrides.keys() & {"dataset_name", "dataset_id"}:
            kept = {key: kept[key] for key in kept if key not in {"dataset_name", "dataset_id"}}
        try:
            return type(self)(**{**kept, **overrides}, client=self.client)
        except InvalidArgumentError as error:
            raise LoadError(f"The loader's setting is invalid: {error}") from error

    def _examples_and_runs(self) -> Iterator[tuple[Example, Run | None]]:
        """Yield each example, with its source run if requested."""
        examples = self._examples()
        if not self.use_source_run:
            if self.project_name:
                raise LoadError("project_name is used only with use_source_run: set it, too.")
            yield from ((example, None) for example in examples)
            return
        self.client = self.client or reading_client()
        projects = find_projects(self.client, RunQuery(project_name=self.project_name))
        reader = RunReader(self.client)
        while some := list(islice(examples, IDS_PER_REQUEST)):
            ids = dict.fromkeys(str(each.source_run_id) for each in some if each.source_run_id)
            request = RunRequest(project_ids=tuple(map(str, projects.ids)), run_ids=tuple(ids))
            pages = reader.pages(request) if ids else ()
            runs = {str(run["id"]): run for page in pages for run in page.runs}
            yield from ((example, runs.get(str(example.source_run_id))) for example in some)

    def _examples(self) -> Iterator[Example]:
        if (self.dataset_name is None) == (self.dataset_id is None):
            raise LoadError("Set either dataset_name or dataset_id.")
        if self.client is None:
            self.client = reading_client()
        what = f"dataset {self.dataset_name or str(self.dataset_id)!r}"
        if self.as_of:
            what += f" as of {self.as_of}"
        with reading(self.client, what):
            # For an unknown id the list would be empty; for a name it would send a request more.
            dataset = self.client.read_dataset(
                dataset_name=self.dataset_name, dataset_id=self.dataset_id
            )
            yield from self.client.list_examples(
                dataset_id=dataset.id, as_of=self.as_of, splits=self.splits
            )


def _read(example: Example, run: Run | None, reasoning: ReasoningPolicy) -> list[FineTuningSession]:
    sessions = read_example(example.inputs or {}, example.outputs or {}, reasoning)
    return [against_run(session, run, reasoning) for session in sessions]
