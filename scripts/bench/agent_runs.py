"""Made-up runs of an agent, as LangChain's tracer writes them: for benchmarks.

The fields, their order and what is in them follow a recorded run of `langchain.agents` with
`langchain-openai` 1.7; only the words are made up.
"""

import random
from typing import Any
from uuid import UUID

_WORDS = (
    "a about again all and any around as balcony bath bed before below breakfast bridge by "
    "calm city clean close coffee corner dinner door early evening every far few first floor "
    "for free from garden give great guest harbour here hotel hour if in is key kitchen large "
    "late lift light long market morning near new next night no north of old on one open or "
    "park path pay place please price quiet rain rest river room sea see side small south "
    "square stairs station stay street sun table taxi the then there they time to tower town "
    "train two under view walk warm water we week west what when which window with yes you"
).split()
_MODEL = {
    "model": "gpt-4o-mini",
    "model_name": "gpt-4o-mini",
    "stream": False,
    "temperature": 0.0,
    "_type": "openai-chat",
    "stop": None,
}
_NO_TOKENS = {
    "completion_tokens_details": {
        "accepted_prediction_tokens": 0,
        "audio_tokens": 0,
        "reasoning_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
    "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
}
_SERIALIZED = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "chat_models", "openai", "ChatOpenAI"],
    "kwargs": {
        "model_name": "gpt-4o-mini",
        "temperature": 0.0,
        "openai_api_key": {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]},
    },
    "name": "ChatOpenAI",
}


def agent_run(number: int) -> dict[str, Any]:
    """Return a run of an agent with six tools: ten messages, three or four calls, 12 to 13 KB."""
    return _Writer(number).run()


class _Writer:
    def __init__(self, number: int) -> None:
        self._number = number
        self._random = random.Random(number)

    def run(self) -> dict[str, Any]:
        one, two, three = self._call(), self._call(), self._call()
        sent = [
            _message("SystemMessage", content=self.text(90), type="system"),
            self._asked(),
            self._answer("", [one]),
            self._result(one),
            self._answer(self.text(35), []),
            self._asked(),
            self._answer("", [two, three]),
            self._result(two),
            self._result(three),
        ]
        calls = [] if self._number % 2 else [self._call()]
        answer = self._answer("" if calls else self.text(45), calls)
        fields = answer["kwargs"]
        run_id, trace_id, parent_id = self._uuid(), self._uuid(), self._uuid()
        begun, ended = "2026-11-20T11:37:19.267661", "2026-11-20T11:37:20.316616"
        return {
            "id": run_id,
            "start_time": f"{begun}+00:00",
            "parent_run_id": parent_id,
            "tags": ["seq:step:1"],
            "dotted_order": ".".join(f"{begun}Z{each}" for each in (trace_id, parent_id, run_id)),
            "trace_id": trace_id,
            "name": "ChatOpenAI",
            "run_type": "llm",
            "inputs": {"messages": [sent]},
            "outputs": {
                "generations": [
                    [
                        {
                            "text": fields["content"],
                            "generation_info": {"finish_reason": "stop", "logprobs": None},
                            "type": "ChatGeneration",
                            "message": answer,
                        }
                    ]
                ],
                "llm_output": fields["response_metadata"],
                "run": None,
                "type": "LLMResult",
            },
            "events": [{"name": "start", "time": begun}, {"name": "end", "time": ended}],
            "extra": {
                "invocation_params": {**_MODEL, "tools": _TOOLS[self._number % len(_TOOLS)]},
                "options": {"stop": None},
                "batch_size": 1,
                "metadata": {
                    "ls_integration": "langchain_chat_model",
                    "langgraph_step": 3,
                    "langgraph_node": "model",
                    "langgraph_triggers": ["branch:to:model"],
                    "langgraph_path": ["__pregel_pull", "model"],
                    "langgraph_checkpoint_ns": f"model:{parent_id}",
                    "checkpoint_ns": f"model:{parent_id}",
                    "ls_provider": "openai",
                    "ls_model_name": "gpt-4o-mini",
                    "ls_model_type": "chat",
                    "ls_temperature": 0.0,
                    "lc_versions": {"langchain-core": "1.7.2", "langchain-openai": "1.7.3"},
                    **_MODEL,
                    "usage_metadata": fields["usage_metadata"],
                    "LANGSMITH_TRACING": "true",
                    "LANGSMITH_ENDPOINT": "https://langsmith.example",
                },
                "runtime": {
                    "sdk": "langsmith-py",
                    "sdk_version": "0.14.17",
                    "library": "langchain-core",
                    "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
                    "runtime": "python",
                    "py_implementation": "CPython",
                    "runtime_version": "3.11.7",
                    "langchain_version": "1.4.7",
                    "langchain_core_version": "1.7.2",
                    "library_version": "1.7.2",
                },
                "tool_call_count": len(calls),
            },
            "serialized": _SERIALIZED,
            "session_id": _SESSION,
            "end_time": f"{ended}+00:00",
            "status": "success",
            "error": None,
            "app_path": f"/o/{_SESSION}/projects/p/{_SESSION}/r/{run_id}",
            "feedback_stats": None,
            "parent_run_ids": [trace_id, parent_id],
        }

    def _asked(self) -> dict[str, Any]:
        return _message("HumanMessage", content=self.text(25), type="human", id=self._uuid())

    def _result(self, call: dict[str, Any]) -> dict[str, Any]:
        return _message(
            "ToolMessage",
            content=self.text(52),
            type="tool",
            name=call["name"],
            id=self._uuid(),
            tool_call_id=call["id"],
            status="success",
        )

    def _answer(self, text: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
        asked, said = self._random.randrange(900, 3000), self._random.randrange(20, 300)
        counts = {"completion_tokens": said, "prompt_tokens": asked, "total_tokens": asked + said}
        return _message(
            "AIMessage",
            content=text,
            additional_kwargs={"refusal": None},
            response_metadata={
                "token_usage": {**counts, **_NO_TOKENS},
                "model_provider": "openai",
                "model_name": "gpt-4o-mini-2024-07-18",
                "system_fingerprint": "fp_44add4f3c1",
                "id": f"chatcmpl-{self._random.getrandbits(96):024x}",
                "service_tier": "default",
                "finish_reason": "tool_calls" if calls else "stop",
                "logprobs": None,
            },
            type="ai",
            id=f"lc_run--{self._uuid()}-0",
            tool_calls=calls,
            usage_metadata={
                "input_tokens": asked,
                "output_tokens": said,
                "total_tokens": asked + said,
                "input_token_details": {"audio": 0, "cache_read": 0},
                "output_token_details": {"audio": 0, "reasoning": 0},
            },
            invalid_tool_calls=[],
        )

    def _call(self) -> dict[str, Any]:
        return {
            "name": self._random.choice(["find_room", "book_room"]),
            "args": {"city": self.text(2), "beds": self._random.randrange(1, 5)},
            "id": f"call_{self._random.getrandbits(96):024x}",
            "type": "tool_call",
        }

    def text(self, words: int) -> str:
        text = " ".join(self._random.choices(_WORDS, k=words)).capitalize()
        return f"{text}.\n" if words > 40 else f"{text}?"

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128)))


def _message(name: str, /, **fields: Any) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": fields}


def _tools(number: int) -> list[dict[str, Any]]:
    """Return the six tools of an agent."""
    text = _Writer(number).text
    names = ("find_room", "book_room", "cancel_booking", "find_table", "call_taxi", "ask_desk")
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": text(20),
                "parameters": {
                    "properties": {
                        "city": {"description": text(6), "type": "string"},
                        "beds": {"default": 1, "description": text(6), "type": "integer"},
                    },
                    "required": ["city"],
                    "type": "object",
                },
            },
        }
        for name in names
    ]


_SESSION = str(UUID(int=7))
_TOOLS = [_tools(number) for number in range(3)]
"""An app's agents, each with tools of its own."""
