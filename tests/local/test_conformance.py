"""Every route and field of the engine's OpenAI API, as the SDK calls them, sync and async.

What comes back has to be what the SDK's types say, field by field: the SDK itself does not check.
"""

import asyncio
import inspect
from operator import attrgetter
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, AsyncStream, BaseModel, OpenAI, Stream
from openai.pagination import AsyncCursorPage, AsyncPage, SyncCursorPage, SyncPage

from tests.local.conftest import jsonl, running_engine
from tests.local.tiny_model import CALCULATOR

ENGINE = str(Path(__file__).with_name("conforming_engine.py"))
ASK = [{"role": "user", "content": "What's 56/7?"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FUNCTION = {"type": "function"} | CALCULATOR["function"]

# Fields of ours that OpenAI's objects do not have.
EXTRA = {"root", "user_provided_suffix"}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("conforming") / "home"
    with running_engine(home, command=(ENGINE,)) as engine:
        yield engine


@pytest.fixture(params=["sync", "async"])
def call(request, live):
    """Calls `client.<path>(...)` and returns an object, or a list of what a page or stream has."""
    options = {"base_url": f"{live.url}/v1", "api_key": live.key, "max_retries": 0}

    def sync(path, *args, **fields):
        with OpenAI(**options) as client:
            answer = attrgetter(path)(client)(*args, **fields)
            return (
                list(answer) if isinstance(answer, Stream | SyncPage | SyncCursorPage) else answer
            )

    async def in_a_loop(path, *args, **fields):
        async with AsyncOpenAI(**options) as client:
            answer = attrgetter(path)(client)(*args, **fields)
            if inspect.isawaitable(answer):
                answer = await answer
            if isinstance(answer, AsyncStream | AsyncPage | AsyncCursorPage):
                return [each async for each in answer]
            return answer

    if request.param == "sync":
        return sync
    return lambda *args, **fields: asyncio.run(in_a_loop(*args, **fields))


def conforms(value):
    """Hold an answer against the SDK's types, and look for fields that those do not have."""
    for each in value if isinstance(value, list) else [value]:
        # By the API's names, whatever Python calls them.
        type(each).model_validate(each.to_dict(mode="json"))
        _no_more_fields(each)
    return value


def _no_more_fields(value):
    if isinstance(value, BaseModel):
        assert (value.model_extra or {}).keys() <= EXTRA, type(value)
        for name in type(value).model_fields:
            _no_more_fields(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            _no_more_fields(each)


@pytest.fixture
def uploaded(call):
    return conforms(call("files.create", file=("a.jsonl", jsonl()), purpose="fine-tune")).id


@pytest.fixture
def job(call, uploaded, until):
    made = conforms(
        call(
            "fine_tuning.jobs.create",
            model="gpt-3.5-turbo",
            training_file=uploaded,
            validation_file=uploaded,
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
            suffix="mine",
            seed=0,
            metadata={"a": "b"},
        )
    )
    until(lambda: call("fine_tuning.jobs.retrieve", made.id).status == "succeeded")
    return made.id


def test_files(call, uploaded):
    assert uploaded in {file.id for file in conforms(call("files.list", limit=1))}
    assert conforms(call("files.retrieve", uploaded)).purpose == "fine-tune"
    assert call("files.content", uploaded).content == jsonl()
    assert conforms(call("files.delete", uploaded)).deleted


def test_uploads(call):
    data = jsonl()
    options = {"filename": "a", "bytes": len(data), "mime_type": "", "purpose": "fine-tune"}
    upload = conforms(call("uploads.create", **options))
    part = conforms(call("uploads.parts.create", upload.id, data=data))
    done = conforms(call("uploads.complete", upload.id, part_ids=[part.id]))
    assert call("files.content", done.file.id).content == data
    assert conforms(call("uploads.cancel", call("uploads.create", **options).id)).status


def test_jobs_and_models(call, job):
    finished = conforms(call("fine_tuning.jobs.retrieve", job))
    assert finished.status == "succeeded"
    assert job in {each.id for each in conforms(call("fine_tuning.jobs.list", limit=1))}
    assert len(conforms(call("fine_tuning.jobs.list_events", job, limit=2))) > 2
    conforms(call("fine_tuning.jobs.checkpoints.list", job))
    with pytest.raises(openai.APIStatusError) as refused:
        call("fine_tuning.jobs.cancel", job)
    assert refused.value.code
    tuned = finished.fine_tuned_model
    assert {"nano", "gpt-3.5-turbo", tuned} <= {m.id for m in conforms(call("models.list"))}
    assert conforms(call("models.retrieve", tuned)).id == tuned
    assert conforms(call("models.delete", tuned)).deleted


CHAT = [
    {},
    {"stop": ["a", "b"]},
    {"n": 2, "temperature": 1, "seed": 1},
    {"logprobs": True, "top_logprobs": 2, "temperature": 1, "seed": 1},
    {"top_p": 0.5, "seed": 1, "max_completion_tokens": 5},
    {"response_format": {"type": "text"}},
    {"response_format": {"type": "json_object"}},
    {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
        }
    },
    {"tools": [CALCULATOR]},
    {"tools": [CALCULATOR], "tool_choice": "none"},
    {"tools": [CALCULATOR], "tool_choice": "auto", "parallel_tool_calls": False},
    {"tools": [CALCULATOR], "tool_choice": "required"},
    {
        "tools": [CALCULATOR],
        "tool_choice": {"type": "function", "function": {"name": "calculator"}},
    },
    {"functions": [CALCULATOR["function"]], "function_call": {"name": "calculator"}},
    {
        "metadata": {"a": "b"},
        "prediction": {"type": "content", "content": "8"},
        "prompt_cache_key": "key",
        "safety_identifier": "me",
        "service_tier": "auto",
        "store": False,
        "user": "me",
    },
]


@pytest.mark.parametrize("options", CHAT, ids=lambda options: "-".join(options)[:40] or "plain")
def test_chat_completions(call, options):
    asked = {"model": "gpt-3.5-turbo", "messages": ASK, "max_tokens": 40} | options
    whole = conforms(call("chat.completions.create", **asked))
    chunks = conforms(
        call(
            "chat.completions.create",
            **asked,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].usage == whole.usage
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    reasons = {
        choice.index: choice.finish_reason
        for chunk in chunks
        for choice in chunk.choices
        if choice.finish_reason
    }
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    for choice in whole.choices:
        streamed = [
            each.delta.content or ""
            for chunk in chunks
            for each in chunk.choices
            if each.index == choice.index
        ]
        assert "".join(streamed) == (choice.message.content or "")


@pytest.mark.parametrize(
    "options",
    [{}, {"n": 2, "best_of": 2}, {"echo": True}, {"logprobs": 1}, {"stop": "a"}, {"top_p": 0.9}],
    ids=lambda options: "-".join(options) or "plain",
)
def test_completions(call, options):
    asked = {"model": "nano", "prompt": "One", "max_tokens": 5, "seed": 2, "user": "me"} | options
    whole = conforms(call("completions.create", **asked))
    chunks = call("completions.create", **asked, stream=True)
    for choice in whole.choices:
        streamed = [c.choices[0].text for c in chunks if c.choices[0].index == choice.index]
        assert "".join(streamed) == choice.text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"instructions": "Be brief.", "metadata": {"a": "b"}, "store": True},
        {"text": {"format": {"type": "json_object"}}},
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}},
        {"tools": [FUNCTION], "tool_choice": "required", "parallel_tool_calls": False},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 1},
        {"temperature": 0, "top_p": 0.5, "truncation": "disabled"},
    ],
    ids=lambda options: "-".join(options)[:40] or "plain",
)
def test_responses(call, options):
    asked = {"model": "nano", "input": "What's 56/7?", "max_output_tokens": 40} | options
    whole = conforms(call("responses.create", **asked))
    *_, last = conforms(call("responses.create", **asked, stream=True))
    assert last.type == f"response.{whole.status}"
    assert last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage


@pytest.mark.parametrize(
    ("path", "fields", "kind", "code"),
    [
        ("chat.completions.create", {"messages": ASK}, openai.NotFoundError, "model_not_found"),
        ("completions.create", {"prompt": "a"}, openai.NotFoundError, "model_not_found"),
        ("responses.create", {"input": "a"}, openai.NotFoundError, "model_not_found"),
        (
            "chat.completions.create",
            {"messages": ASK, "extra_body": {"speed": 1}},
            openai.BadRequestError,
            "unknown_parameter",
        ),
        (
            "chat.completions.create",
            {"messages": ASK, "reasoning_effort": "low"},
            openai.BadRequestError,
            "unsupported_value",
        ),
        (
            "chat.completions.create",
            {"messages": [{"role": "user", "content": "1 " * 5000}], "model": "nano"},
            openai.BadRequestError,
            "context_length_exceeded",
        ),
        (
            "responses.create",
            {"input": "1 " * 5000, "model": "nano"},
            openai.BadRequestError,
            "context_length_exceeded",
        ),
        (
            "completions.create",
            {"prompt": "1 " * 5000, "model": "nano"},
            openai.BadRequestError,
            "context_length_exceeded",
        ),
        ("responses.retrieve", {"response_id": "resp_1"}, openai.NotFoundError, "unknown_url"),
        ("embeddings.create", {"input": "a"}, openai.NotFoundError, "unknown_url"),
    ],
)
def test_errors(call, path, fields, kind, code):
    asks_a_model = path.endswith(".create")
    with pytest.raises(kind) as caught:
        call(path, **(({"model": "nobody"} if asks_a_model else {}) | fields))
    assert caught.value.code == code
    assert caught.value.type == "invalid_request_error"
