"""The runs that a dataset's examples were made from: their answers are what references replace."""

from collections.abc import Mapping, Sequence

from langsmith import Client
from langsmith.schemas import Example

from langchain_finetune.dialects.corrections import answered
from langchain_finetune.dialects.messages import Reasoning
from langchain_finetune.dialects.run import read_run
from langchain_finetune.loaders.fold import fingerprints
from langchain_finetune.loaders.run_reader import Projects, RunReader
from langchain_finetune.loaders.run_requests import Run, RunRequest
from langchain_finetune.messages import UnreadableChatError
from langchain_finetune.sessions import FineTuningSession, wire_messages

EXAMPLES_TOGETHER = 100
"""How many examples' runs are fetched with one request."""


def fetch_source_runs(
    client: Client, projects: Projects, examples: Sequence[Example]
) -> Mapping[str, Run]:
    """Return the `llm` runs that examples were made from, by their ids.

    Args:
        client: LangSmith's client.
        projects: Where to look; LangSmith's new API finds no run without a project.
        examples: At most `EXAMPLES_TOGETHER`.

    Raises:
        LoadError: LangSmith can't be read.
    """
    ids = dict.fromkeys(str(each.source_run_id) for each in examples if each.source_run_id)
    if not ids:
        return {}
    request = RunRequest(project_ids=tuple(map(str, projects.ids)), run_ids=tuple(ids))
    return {str(run["id"]): run for page in RunReader(client).pages(request) for run in page.runs}


def against_run(
    session: FineTuningSession, run: Run | None, reasoning: Reasoning
) -> FineTuningSession:
    """Return an example's session with its run's answer as `rejected`.

    The request is then the run's: it has the tools, which an example may have lost. Where the run
    is not known, holds no chat, or answered other messages, the session stays as it is.

    Args:
        session: The example's input and its reference answer.
        run: The run that the example was made from, or None.
        reasoning: What becomes of the models' reasoning.
    """
    try:
        told = read_run(run, reasoning) if run is not None else []
    except UnreadableChatError:
        # It only adds to the example, which is whole without it.
        return session
    *asked, reference = wire_messages(session)
    for each in told[:1]:
        if fingerprints({}, wire_messages(each)[:-1]) == fingerprints({}, asked):
            return answered(each, reference)
    return session
