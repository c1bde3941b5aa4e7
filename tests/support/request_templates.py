"""Good requests to the engine, by the end of their path: what broken ones are made of."""

from support.random_filters import uid

SECRET = "my secret"
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
            "required": ["a"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": TOOL["function"]["parameters"]},
}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": SECRET}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "3"},
    {"role": "user", "content": f"{SECRET}?"},
]
CHAT = {"model": "nano", "messages": MESSAGES, "max_tokens": 2, "seed": 1}
PROMPT = {"model": "nano", "prompt": SECRET, "max_tokens": 2}
RESPONSE = {"model": "nano", "input": SECRET, "max_output_tokens": 2}
FLAT_TOOL = {"type": "function", **TOOL["function"]}
JOB = {
    "model": "nano",
    "training_file": "file-1",
    "seed": 0,
    "suffix": "mine",
    "metadata": {"team": "one"},
    "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
}
DPO = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1, "batch_size": "auto"}}}
RUN = {
    "id": uid(1),
    "trace_id": uid(1),
    "name": "model",
    "run_type": "llm",
    "start_time": "2026-11-01T12:00:00Z",
    "end_time": "2026-11-01T12:00:01.5+02:00",
    "dotted_order": f"20261101T120000000000Z{uid(1)}",
    "session_name": "app",
    "tags": ["web"],
    "inputs": {"messages": [[{"content": SECRET}]]},
    "outputs": {"usage_metadata": {"input_tokens": 3, "output_tokens": 4}},
    "extra": {"metadata": {"thread_id": "t-1", "tier": 2}},
    "events": [{"name": "new_token", "time": "2026-11-01T12:00:00.5Z"}],
    "error": None,
}
FILTER = 'and(eq(run_type, "llm"), or(gt(latency, "5s"), eq(feedback_key, "user_score")))'
QUERY = {
    "session": [uid(2)],
    "id": [uid(1)],
    "run_type": "llm",
    "filter": FILTER,
    "trace_filter": 'search("text")',
    "tree_filter": "has(metadata, '{\"a\": 1}')",
    "query": "text",
    "start_time": "2026-11-01T12:00:00Z",
    "limit": 10,
    "select": ["id", "inputs"],
    "cursor": None,
    "order": "asc",
    "is_root": True,
    "error": False,
}
QUERY_2 = {
    "project_ids": [uid(2)],
    "min_start_time": "2026-01-01T00:00:00Z",
    "selects": ["ID", "INPUTS"],
    "filter": FILTER,
    "page_size": 5,
}
THREADS = {"project_id": uid(2), "min_start_time": "2026-01-01T00:00:00Z", "page_size": 5}
FEEDBACK = {
    "run_id": uid(1),
    "key": "user_score",
    "score": 0.5,
    "value": {"a": 1},
    "comment": SECRET,
    "correction": {"text": "better"},
    "feedback_source": {"type": "app"},
    "created_at": "2026-11-01T12:00:00Z",
}
EXAMPLE = {
    "id": uid(3),
    "dataset_id": uid(4),
    "inputs": {"messages": [{"role": "user", "content": SECRET}]},
    "outputs": {"message": {"role": "assistant", "content": "yes"}},
    "metadata": {"a": 1},
    "split": ["base"],
    "created_at": "2026-11-01T12:00:00Z",
}
NAMED = {"id": uid(4), "name": "one", "description": "two", "extra": {"metadata": {"a": 1}}}
COMPARISON = {"experiment_ids": [uid(2)], "reference_dataset_id": uid(4), "name": "both"}
LINE = (
    b'{"messages": [{"role": "user", "content": "my secret"}, '
    b'{"role": "assistant", "content": "yes"}]}\n'
)

TOKEN = {
    "run_id": uid(1),
    "feedback_key": "user_score",
    "expires_in": {"days": 0, "hours": 3, "minutes": 0},
}
CONFIG = {
    "feedback_key": "user_score",
    "feedback_config": {"type": "continuous", "min": 0.0, "max": 1.0},
    "is_lower_score_better": False,
}
RUBRIC = {"name": "one", "rubric_instructions": SECRET, "rubric_items": [{"feedback_key": "a"}]}
REVIEWED = {"last_reviewed_time": "2026-11-01T12:00:00Z"}
TRACES = {
    "project_id": uid(2),
    "min_start_time": "2026-01-01T00:00:00Z",
    "selects": ["NAME", "TOTAL_TOKENS"],
    "trace_filter": FILTER,
}
EXPORT = {
    "session_id": uid(2),
    "start_time": "2026-01-01T00:00:00Z",
    "filter": FILTER,
    "format": "JSONL",
    "compression": "none",
    "export_fields": ["id", "inputs"],
}

BODIES = {
    "/chat/completions": [
        CHAT,
        CHAT | {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        CHAT | {"response_format": SCHEMA, "n": 2, "temperature": 0.5, "top_p": 0.9},
        CHAT | {"stream": True, "stream_options": {"include_usage": True}, "logprobs": True},
        CHAT | {"functions": [TOOL["function"]], "function_call": {"name": "add"}, "stop": ["x"]},
    ],
    "/v1/completions": [PROMPT, PROMPT | {"prompt": [[1, 2], [3]], "echo": True, "n": 1}],
    "/responses": [
        RESPONSE,
        RESPONSE | {"input": [{"role": "user", "content": SECRET}], "tools": [FLAT_TOOL]},
        RESPONSE | {"text": {"format": {"type": "json_object"}}, "instructions": "Be brief."},
        RESPONSE | {"stream": True, "tool_choice": "auto", "reasoning": None},
    ],
    "/fine_tuning/jobs": [JOB, JOB | {"method": DPO}, JOB | {"validation_file": "file-1"}],
    "/uploads": [
        {"filename": "a.jsonl", "bytes": 3, "mime_type": "text/jsonl", "purpose": "fine-tune"}
    ],
    "/complete": [{"part_ids": ["part-1"], "md5": "0" * 32}, {"part_ids": ["part-1"]}],
    "/runs/batch": [{"post": [RUN], "patch": [{"id": uid(1), "outputs": {"a": 1}}]}],
    "/runs": [RUN, [uid(1)], [{"run_id": uid(1)}]],
    "/runs/{run_id}": [{"outputs": {"a": 1}, "end_time": "2026-11-01T12:00:02Z"}],
    "/v2/runs/query": [QUERY_2],
    "/runs/query": [QUERY, {"session": [uid(2)], "filter": FILTER}],
    "/threads/query": [THREADS],
    "/sessions": [NAMED | {"reference_dataset_id": uid(4)}],
    "/feedback": [FEEDBACK],
    "/feedback/{feedback_id}": [{"score": 1, "comment": SECRET}],
    "/annotation-queues": [NAMED],
    "/by-key": [[{"run_id": uid(1)}]],
    "/datasets": [NAMED | {"data_type": "chat", "inputs_schema_definition": {}}],
    "/comparative": [COMPARISON],
    "/examples": [EXAMPLE],
    "/examples/bulk": [[EXAMPLE, EXAMPLE | {"id": uid(5)}]],
    "/examples/{example_id}": [EXAMPLE],
    "/examples/delete": [{"example_ids": [uid(3)], "hard_delete": True}],
    "/tags": [{"as_of": "2026-11-01T12:00:00Z", "tag": "prod"}],
    "/splits": [{"split_name": "test", "examples": [uid(3)], "remove": False}],
    "/sessions/{project_id}": [NAMED | {"end_time": "2026-11-01T12:00:00Z"}],
    "/runs/stats": [QUERY],
    "/traces/query": [TRACES],
    "/feedback/tokens": [TOKEN, [TOKEN]],
    "/feedback/tokens/{token}": [{"score": 1, "comment": SECRET, "metadata": {"a": 1}}],
    "/feedback-configs": [CONFIG],
    "/annotation-queues/{queue_id}": [RUBRIC],
    "/{queue_id}/runs/{run_id}": [REVIEWED],
    "/{queue_id}/runs/delete": [{"run_ids": [uid(1)]}],
    "/items": [{"items": [{"item_type": "RUN", "run_id": uid(1)}]}],
    "/items/{item_id}": [REVIEWED],
    "/items/delete": [{"item_ids": [uid(1)]}],
    "/bulk-exports": [EXPORT, {"session_id": uid(2)}],
    "/bulk-exports/{export_id}": [{"status": "Cancelled"}],
}
FORMS = {
    "/v1/files": [("file", b"train.jsonl", LINE * 12), ("purpose", None, b"fine-tune")],
    "/parts": [("data", b"part", b"abc")],
    "/runs/multipart": [
        (f"post.{uid(1)}", None, RUN),
        (f"post.{uid(1)}.inputs", None, {"a": 1}),
        (f"patch.{uid(1)}.outputs", None, {"b": [1.5, None]}),
        (f"feedback.{uid(6)}", None, FEEDBACK | {"id": uid(6)}),
        (f"attachment.{uid(1)}.photo", b"photo", b"\x00\xff"),
    ],
    "/platform/datasets/{dataset_id}/examples": [
        (uid(3), None, {"metadata": {"a": 1}, "split": "base"}),
        (f"{uid(3)}.inputs", None, EXAMPLE["inputs"]),
        (f"{uid(3)}.outputs", None, EXAMPLE["outputs"]),
        (f"{uid(3)}.attachment.photo", b"photo", b"\x00\xff"),
        (f"{uid(3)}.attachments_operations", None, {"rename": {"a": "b"}, "retain": ["photo"]}),
    ],
    "/datasets/upload": [
        ("file", b"teas.csv", b"tea,mild\nwhite,yes\n"),
        ("name", None, b"teas"),
        ("input_keys", None, b"tea"),
        ("output_keys", None, b"mild"),
    ],
}


def of_path(table, path):
    """What a table has for a path: of all ends that fit, the longest."""
    ends = [end for end in table if path.endswith(end)]
    return table[max(ends, key=len)] if ends else None
