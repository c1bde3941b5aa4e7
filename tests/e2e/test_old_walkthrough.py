"""Code written for the old walkthrough works with its imports fixed: only addresses come in.

The environment points at the engine, and the engine knows `gpt-3.5-turbo` as another name of
`nano`.
"""

import json
import time
from io import BytesIO

import openai
import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from langchain_finetune import LangSmithRunChatLoader, convert_messages_for_finetuning

pytestmark = pytest.mark.train


@pytest.fixture
def addressed(engine, monkeypatch):
    """The openai SDK's and ChatOpenAI's own variables."""
    key = engine.api_key.get_secret_value()
    monkeypatch.setenv("OPENAI_BASE_URL", engine.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setattr(openai, "base_url", None)
    monkeypatch.setattr(openai, "api_key", None)
    # The SDK keeps a client of its own to the end of the process, and never closes its sockets.
    monkeypatch.setattr(openai, "_client", None)
    with openai.DefaultHttpxClient() as http_client:
        monkeypatch.setattr(openai, "http_client", http_client)
        yield


@pytest.mark.filterwarnings("ignore:list_runs:DeprecationWarning")
@pytest.mark.usefixtures("addressed", "traffic")
def test_the_old_code_runs(langsmith):
    roots = langsmith.list_runs(project_name="calculator", execution_order=1, error=False)
    successful = {run.trace_id for run in roots}
    llm_runs = [
        run
        for run in langsmith.list_runs(project_name="calculator", run_type="llm")
        if run.trace_id in successful
    ]
    assert len(llm_runs) > 100

    sessions = LangSmithRunChatLoader(runs=llm_runs).lazy_load()
    training_data = convert_messages_for_finetuning(sessions)
    assert len(training_data) == len(llm_runs)

    buffer = BytesIO()
    for dialog in training_data[:12]:
        buffer.write((json.dumps({"messages": dialog}) + "\n").encode("utf-8"))
    buffer.seek(0)
    training_file = openai.files.create(file=buffer, purpose="fine-tune")
    while openai.files.retrieve(training_file.id).status != "processed":
        time.sleep(0.1)
    job = openai.fine_tuning.jobs.create(
        training_file=training_file.id,
        model="gpt-3.5-turbo",
        hyperparameters={"n_epochs": 1},
    )
    while (job := openai.fine_tuning.jobs.retrieve(job.id)).status not in {"succeeded", "failed"}:
        time.sleep(0.5)
    assert job.status == "succeeded"

    model = ChatOpenAI(model=job.fine_tuned_model, temperature=1)
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are an accounting assistant."), ("user", "{input}")]
    )
    answer = (prompt | model).invoke({"input": "What's 56/7?"})
    assert answer.response_metadata["model_name"] == job.fine_tuned_model
