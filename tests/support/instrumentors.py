"""One run of each instrumentor besides LangChain's tracer for Python, and the line it makes.

They are made by hand after the sources of the instrumentors: LangChain.js (@langchain/openai 1.5,
@langchain/anthropic 1.5, @langchain/google-genai 2.3), LangSmith's wrappers and integrations
(langsmith 0.15), the AI SDK 4 to 7, LiteLLM 1.110, pydantic-ai 2.68, OpenInference 0.1.
All tell the chat of `dialects`.
"""

import json

from support.dialects import (
    ANTHROPIC_TOOL,
    CALLING,
    FLAT_TOOL,
    FOUND,
    INSTRUCTIONS,
    ITEM_CALL,
    ITEM_TOLD,
    OTEL_CALL,
    OTEL_SENT,
    QUESTION,
    SAID,
    SCHEMA,
    TALKING,
    TELLING,
    TOLD,
    span,
    wrapped,
)
from support.runs import CALL, FUNCTION, TOOL, WIRE_ANSWER, WIRE_SENT

ASKING = WIRE_SENT[1:]
TEXT = TOLD["content"]
COMPACT = {"id": "call_5", "type": "function"} | {
    "function": {"name": "find_room", "arguments": '{"beds":2}'}
}
ASKED_COMPACT = {"role": "assistant", "content": None, "tool_calls": [COMPACT]}
PARTED = [WIRE_SENT[0], {"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
JS_CALLING = {"messages": [*PARTED, ASKED_COMPACT], "tools": [TOOL]}
MADE = {**WIRE_ANSWER["tool_calls"][0], "id": "call_1"}
GEMINI_SCHEMA = {"type": "OBJECT", "properties": {"beds": {"type": "INTEGER"}}}
DECLARED = [{"function_declarations": [{**FUNCTION, "parameters": GEMINI_SCHEMA}]}]
GOOGLE = {"ls_provider": "google", "ls_model_type": "chat", "ls_model_name": "gemini-2.5-flash"}


def js(name, /, **kwargs):
    """A message as LangChain.js writes it."""
    path = ["langchain_core", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


JS_SENT = [js("SystemMessage", content=INSTRUCTIONS), js("HumanMessage", content=QUESTION)]


def langchain_js(answer, provider, sent=JS_SENT, model="m", **params):
    return wrapped(
        {"messages": [list(sent)]},
        {"generations": [[{"text": "", "generationInfo": {}, "message": answer}]]},
        invocation_params={"model": model, **params},
        options={"executionInfo": {"nodeAttempt": 1}, "context": {"guest": "Ada"}, "signal": {}},
        metadata={"ls_provider": provider},
    )


def ai_sdk(outputs, *, name="openai.chat", model="gpt-4.1", messages=PARTED, **inputs):
    """A run of `wrapAISDK`."""
    metadata = {"ls_integration": "vercel-ai-sdk", "ai_sdk_method": "ai.doGenerate"}
    run = wrapped(
        {"messages": messages, "providerOptions": {}, **inputs},
        outputs,
        metadata={**metadata, "ls_model_name": model},
    )
    return {**run, "name": name}


AI_SDK_TOOL = {"type": "function", "name": "find_room", "description": "Find a room."} | {
    "inputSchema": SCHEMA
}
AI_SDK_CALL = {"type": "tool-call", "toolCallId": "call_5", "toolName": "find_room"}
AI_SDK_RESULT = {"type": "tool-result", "toolCallId": "call_5", "toolName": "find_room"}
AI_SDK_ASKED = {"role": "assistant", "content": [{**AI_SDK_CALL, "input": {"beds": 2}}]}
AI_SDK_TOLD = {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}


def result(**output):
    return {"role": "tool", "content": [{**AI_SDK_RESULT, **output}]}


def after_result(text):
    """The line of a chat with the result of a call of the AI SDK."""
    told = {"role": "tool", "content": text, "tool_call_id": "call_5"}
    return {"messages": [*PARTED, ASKED_COMPACT, told, TOLD], "tools": [TOOL]}


def ai_sdk_span(messages, operation="ai.generateText.doGenerate", **attributes):
    """A span of the AI SDK's own telemetry."""
    return span(
        ai__operationId=operation,
        ai__model__provider="openai.chat",
        ai__prompt__messages=json.dumps(messages),
        ai__prompt__tools=[json.dumps(AI_SDK_TOOL)],
        ai__prompt__toolChoice='{"type":"auto"}',
        gen_ai__system="openai.chat",
        gen_ai__request__model="gpt-4.1",
        **attributes,
    )


def litellm(outputs, messages=WIRE_SENT, call_type="completion", **parameters):
    """A run of LiteLLM's callback: its whole record of the call."""
    return wrapped(
        {
            "id": "chatcmpl-1",
            "call_type": call_type,
            "model": "gpt-4.1",
            "prompt_tokens": 9,
            "status": "success",
            "custom_llm_provider": "openai",
            "response": outputs,
            "error_information": {"error_message": ""},
            "hidden_params": {"litellm_model_name": "gpt-4.1"},
            "model_map_information": {"model_map_key": "gpt-4.1", "model_map_value": {"key": "g"}},
            "messages": messages,
            "model_parameters": parameters,
            "standard_built_in_tools_params": {"web_search_options": None, "file_search": None},
            "metadata": {"mcp_tool_call_metadata": None},
        },
        outputs,
    )


def gemini(outputs, messages=ASKING, **config):
    """A run of LangSmith's wrapper of Gemini's SDK."""
    inputs = {"messages": messages, "model": "gemini-2.5-flash", "config": config}
    return wrapped(inputs, outputs, metadata=GOOGLE)


def pydantic_ai(sent, parts, **attributes):
    return span(
        gen_ai__operation__name="chat",
        gen_ai__input__messages=json.dumps(sent),
        gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": parts}]),
        logfire__json_schema="{}",
        **attributes,
    )


def openinference(inputs=None, outputs=None, **attributes):
    values = {"input.value": inputs, "output.value": outputs}
    found = span(openinference__span__kind="LLM", **attributes)
    found["attributes"] |= {key: json.dumps(value) for key, value in values.items() if value}
    return found


CHOICE = {"choices": [{"index": 0, "finish_reason": "stop", "message": TOLD}]}
OTEL_TOLD = {"type": "text", "content": TEXT}
REQUEST = {"model": "m", "messages": WIRE_SENT, "tools": [TOOL]}

RUNS_OF_APPS = {
    "LangChain.js, agent's name on the answer": (
        langchain_js(js("AIMessage", content=TEXT, name="model"), "openai"),
        TALKING,
    ),
    "LangChain.js, developer": (
        langchain_js(js("AIMessage", content=TEXT), "openai", model="gpt-5-mini"),
        {"messages": [{"role": "developer", "content": INSTRUCTIONS}, *ASKING, TOLD]},
    ),
    "LangChain.js, history": (
        langchain_js(
            js("AIMessage", content=TEXT, name="Hotel agent"),
            "openai",
            [
                *JS_SENT,
                js("AIMessage", content="", tool_calls=[CALL], name="Hotel agent"),
                js("ToolMessage", content="Room 7", tool_call_id="call_5", name="find_room"),
            ],
            tools=[TOOL],
        ),
        {"messages": [*WIRE_SENT, ASKED_COMPACT, FOUND, TOLD], "tools": [TOOL]},
    ),
    "LangChain.js, gpt-5-chat": (
        langchain_js(js("AIMessage", content=TEXT), "openai", model="gpt-5-chat-latest"),
        TALKING,
    ),
    "LangChain.js, Anthropic streamed": (
        langchain_js(
            js(
                "AIMessageChunk",
                content=[
                    {"index": 0, "type": "text", "text": "I look."},
                    {"index": 1, "type": "tool_use", "id": "call_5", "name": "find_room"}
                    | {"input": ""},
                    {"index": 1, "type": "input_json_delta", "input": '{"beds": '},
                    {"index": 1, "type": "input_json_delta", "input": "2}"},
                ],
            ),
            "anthropic",
            tools=[ANTHROPIC_TOOL],
        ),
        {"messages": [*WIRE_SENT, SAID], "tools": [TOOL]},
    ),
    "LangChain.js, Gemini": (
        langchain_js(
            js(
                "AIMessageChunk",
                content=[
                    {"type": "thinking", "thinking": "Two."},
                    {"type": "functionCall", "functionCall": {"name": "find_room", "args": {}}},
                ],
                name="model",
                tool_calls=[{"name": "find_room", "args": {"beds": 2}, "id": "call_5"}],
            ),
            "google_genai",
            tools=[{"functionDeclarations": [FUNCTION]}],
            generationConfig={"temperature": 0},
        ),
        CALLING,
    ),
    "AI SDK 6": (
        ai_sdk(
            {
                "content": [{**AI_SDK_CALL, "input": '{"beds":2}'}],
                "finishReason": {"unified": "tool-calls", "raw": "tool_calls"},
                "role": "assistant",
                "tool_calls": [COMPACT],
            },
            tools=[AI_SDK_TOOL],
            toolChoice={"type": "auto"},
        ),
        JS_CALLING,
    ),
    "AI SDK 6, blocks only": (ai_sdk(AI_SDK_ASKED, tools=[AI_SDK_TOOL]), JS_CALLING),
    "AI SDK 6, results": (
        ai_sdk(
            AI_SDK_TOLD,
            messages=[
                *PARTED,
                AI_SDK_ASKED,
                result(output={"type": "text", "value": "Room 7"}),
            ],
            tools=[AI_SDK_TOOL],
        ),
        after_result("Room 7"),
    ),
    "AI SDK 6, result as JSON": (
        ai_sdk(
            AI_SDK_TOLD,
            messages=[
                *PARTED,
                AI_SDK_ASKED,
                result(output={"type": "json", "value": {"room": 7}}),
            ],
            tools=[AI_SDK_TOOL],
        ),
        after_result('{"room":7}'),
    ),
    "AI SDK 4, result": (
        ai_sdk(
            {"text": TEXT, "toolCalls": [], "finishReason": "stop", "role": "assistant"},
            messages=[*PARTED, AI_SDK_ASKED, result(result={"room": 7})],
            mode={"type": "regular", "tools": [AI_SDK_TOOL]},
        ),
        after_result('{"room":7}'),
    ),
    "AI SDK, prompt": (
        wrapped(
            {"prompt": PARTED},
            {"role": "assistant", "content": TEXT},
            metadata={"ai_sdk_method": "ai.doGenerate"},
        ),
        {"messages": [*PARTED, TOLD]},
    ),
    "AI SDK, developer": (
        ai_sdk(AI_SDK_TOLD, model="gpt-5"),
        {"messages": [{**PARTED[0], "role": "developer"}, PARTED[1], TOLD]},
    ),
    "AI SDK 7": (
        wrapped(
            {"messages": ASKING, "runtimeContext": {}, "toolsContext": {"find_room": {"k": "v"}}},
            {
                "role": "assistant",
                "content": [
                    {"type": "reasoning", "reasoning": "Two."},
                    {**AI_SDK_CALL, "input": {"beds": 2}},
                    {**AI_SDK_RESULT, "output": "Room 7"},
                ],
                "tool_calls": [COMPACT],
                "finish_reason": "tool-calls",
            },
            invocation_params={
                "callId": "c",
                "instructions": INSTRUCTIONS,
                "tools": [{**FLAT_TOOL, "input_schema": SCHEMA, "parameters": None}],
                "toolChoice": {"type": "auto"},
            },
            metadata={"ls_integration": "vercel-ai-sdk-telemetry"},
        ),
        {"messages": [*WIRE_SENT, ASKED_COMPACT], "tools": [TOOL]},
    ),
    "AI SDK 7, instructions as messages": (
        wrapped(
            {"messages": ASKING},
            AI_SDK_TOLD,
            invocation_params={"instructions": [{"role": "system", "content": INSTRUCTIONS}]},
        ),
        TALKING,
    ),
    "AI SDK's spans": (
        ai_sdk_span(
            PARTED,
            ai__response__text="",
            ai__response__toolCalls=json.dumps(
                [{"toolCallId": "call_5", "toolName": "find_room", "input": '{"beds":2}'}]
            ),
            ai__response__finishReason="tool-calls",
        ),
        JS_CALLING,
    ),
    "AI SDK's spans, streamed, with a result": (
        ai_sdk_span(
            [
                *PARTED,
                AI_SDK_ASKED,
                result(output={"type": "json", "value": {"room": 7}}),
            ],
            "ai.streamText.doStream",
            ai__response__text=TEXT,
            ai__response__reasoning="Two.",
        ),
        after_result('{"room":7}'),
    ),
    "AI SDK's spans, an object": (
        span(
            ai__operationId="ai.generateObject.doGenerate",
            ai__prompt__messages=json.dumps(WIRE_SENT),
            ai__response__object='{"beds":2}',
        ),
        {"messages": [*WIRE_SENT, {"role": "assistant", "content": '{"beds":2}'}]},
    ),
    "LiteLLM": (
        litellm(CHOICE, tools=[TOOL], parallel_tool_calls=False, temperature=0),
        {**TALKING, "tools": [TOOL], "parallel_tool_calls": False},
    ),
    "LiteLLM, Responses": (
        litellm(
            {"object": "response", "output": [ITEM_TOLD], "status": "completed"},
            messages=QUESTION,
            call_type="responses",
            instructions=INSTRUCTIONS,
            tools=[FLAT_TOOL],
        ),
        {**TALKING, "tools": [TOOL]},
    ),
    "wrap_gemini": (
        gemini(
            {"content": TEXT, "role": "assistant", "finish_reason": "STOP"},
            system_instruction=INSTRUCTIONS,
        ),
        TALKING,
    ),
    "wrap_gemini, content and tools": (
        gemini(
            {"content": None, "role": "assistant", "tool_calls": WIRE_ANSWER["tool_calls"]},
            system_instruction={"parts": [{"text": INSTRUCTIONS}], "role": "user"},
            tools=DECLARED,
        ),
        CALLING,
    ),
    "wrap_gemini, streamed": (
        gemini({"content": TEXT}, system_instruction=[INSTRUCTIONS]),
        TALKING,
    ),
    "wrapGemini, JavaScript": (
        gemini(
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "Two.", "thought": True}],
                "tool_calls": [{key: MADE[key] for key in ("type", "function")}],
                "finish_reason": "STOP",
            },
            systemInstruction=INSTRUCTIONS,
            tools=[{"functionDeclarations": [{**FUNCTION, "parameters": GEMINI_SCHEMA}]}],
        ),
        {"messages": [*WIRE_SENT, {**WIRE_ANSWER, "tool_calls": [MADE]}], "tools": [TOOL]},
    ),
    "Gemini's own request": (
        wrapped(
            {
                "contents": [
                    {"role": "user", "parts": [{"text": QUESTION}]},
                    {
                        "role": "model",
                        "parts": [{"functionCall": {"name": "find_room", "args": {"beds": 2}}}],
                    },
                    {
                        "role": "user",
                        "parts": [
                            {"functionResponse": {"name": "find_room", "response": {"room": 7}}}
                        ],
                    },
                ],
                "config": {"systemInstruction": {"parts": [{"text": INSTRUCTIONS}]}},
            },
            {"candidates": [{"content": {"role": "model", "parts": [{"text": TEXT}]}}]},
        ),
        {
            "messages": [
                *WIRE_SENT,
                {**WIRE_ANSWER, "tool_calls": [MADE]},
                {
                    "role": "tool",
                    "content": '{"room":7}',
                    "tool_call_id": "call_1",
                    "name": "find_room",
                },
                TOLD,
            ]
        },
    ),
    "Google ADK": (
        wrapped(
            {"messages": WIRE_SENT},
            {"role": "assistant", "content": None, "tool_calls": WIRE_ANSWER["tool_calls"]},
            invocation_params={
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "find_room",
                            "description": "Find a room.",
                            "parameters_json_schema": SCHEMA,
                        },
                    }
                ]
            },
            metadata={"ls_integration": "google-adk", "ls_provider": "google_ai"},
        ),
        CALLING,
    ),
    "Google ADK, older": (
        wrapped(
            {
                "messages": [
                    *WIRE_SENT,
                    WIRE_ANSWER,
                    {"role": "tool", "name": "find_room", "content": "Room 7"},
                ]
            },
            TOLD,
            invocation_params={
                "tools": [
                    {"type": "function", "function": {**FUNCTION, "parameters": GEMINI_SCHEMA}}
                ]
            },
        ),
        {
            "messages": [*WIRE_SENT, WIRE_ANSWER, {**FOUND, "name": "find_room"}, TOLD],
            "tools": [TOOL],
        },
    ),
    "Bedrock": (
        wrapped(
            {"messages": ASKING},
            TOLD,
            invocation_params={
                "system": [{"text": INSTRUCTIONS}],
                "toolConfig": {
                    "tools": [
                        {
                            "toolSpec": {
                                "name": "find_room",
                                "description": "Find a room.",
                                "inputSchema": {"json": SCHEMA},
                            }
                        }
                    ]
                },
            },
        ),
        {**TALKING, "tools": [TOOL]},
    ),
    "traceable, keyword arguments": (
        wrapped({"messages": ASKING, "kwargs": {"system": INSTRUCTIONS, "tools": [TOOL]}}, CHOICE),
        {**TALKING, "tools": [TOOL]},
    ),
    "traceable, call, result and answer": (
        wrapped(
            {"messages": WIRE_SENT, "tools": [TOOL]},
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {
                                "type": "tool_call",
                                "name": "find_room",
                                "args": {"beds": 2},
                                "id": "call_5",
                            }
                        ],
                    },
                    FOUND,
                    TOLD,
                ]
            },
        ),
        TELLING,
    ),
    "traceable, JavaScript": (
        wrapped({"input": WIRE_SENT}, {"outputs": ["assistant", TEXT]}),
        TALKING,
    ),
    "Claude's agent SDK": (
        wrapped(
            {"input": ASKING, "system": INSTRUCTIONS},
            {
                "output": {
                    "messages": [{"role": "assistant", "content": [{"type": "text", "text": TEXT}]}]
                }
            },
        ),
        TALKING,
    ),
    "traceable, the SDK's object": (
        wrapped({"messages": WIRE_SENT}, {"output": {"id": "x", **CHOICE}}),
        TALKING,
    ),
    "pydantic-ai": (
        pydantic_ai(
            OTEL_SENT,
            [{"type": "thinking", "content": "Two."}, OTEL_CALL],
            gen_ai__tool__definitions=json.dumps([FLAT_TOOL]),
        ),
        CALLING,
    ),
    "pydantic-ai, result": (
        pydantic_ai(
            [
                *OTEL_SENT,
                {
                    "role": "assistant",
                    "parts": [{**OTEL_CALL, "arguments": '{"beds": 2}'}],
                    "finish_reason": "tool_call",
                },
                {
                    "role": "user",
                    "parts": [{"type": "tool_call_response", "id": "call_5", "result": "Room 7"}],
                },
            ],
            [OTEL_TOLD],
            gen_ai__tool__definitions=json.dumps([FLAT_TOOL]),
            model_request_parameters=json.dumps(
                {"function_tools": [{**FUNCTION, "strict": True}], "native_tools": []}
            ),
        ),
        {
            "messages": [*WIRE_SENT, ASKED_COMPACT, FOUND, TOLD],
            "tools": [{**TOOL, "function": {**FUNCTION, "strict": True}}],
        },
    ),
    "pydantic-ai, instructions": (
        pydantic_ai(
            OTEL_SENT,
            [OTEL_TOLD],
            gen_ai__system_instructions=json.dumps([{"type": "text", "content": "Be brief."}]),
            model_request_parameters=json.dumps(
                {"function_tools": [{**FUNCTION, "parameters_json_schema": SCHEMA, "strict": None}]}
            ),
        ),
        {
            "messages": [WIRE_SENT[0], {"role": "system", "content": "Be brief."}, *ASKING, TOLD],
            "tools": [TOOL],
        },
    ),
    "OpenTelemetry, events": (
        {
            **span(gen_ai__operation__name="chat", gen_ai__system="openai"),
            "events": [
                {"name": "exception", "attributes": {"exception.message": "no"}},
                {"name": "gen_ai.system.message", "attributes": {"content": INSTRUCTIONS}},
                {"name": "gen_ai.user.message", "attributes": {"content": QUESTION}},
                {
                    "name": "gen_ai.assistant.message",
                    "attributes": {"tool_calls": json.dumps(WIRE_ANSWER["tool_calls"])},
                },
                {
                    "name": "gen_ai.tool.message",
                    "attributes": {"id": "call_5", "content": "Room 7"},
                },
                {
                    "name": "gen_ai.choice",
                    "attributes": {"finish_reason": "stop", "message": json.dumps(TOLD)},
                },
            ],
        },
        {"messages": [*WIRE_SENT, WIRE_ANSWER, FOUND, TOLD]},
    ),
    "OpenTelemetry, an event with everything": (
        {
            **span(gen_ai__operation__name="chat"),
            "events": [
                {
                    "name": "gen_ai.client.inference.operation.details",
                    "attributes": {
                        "gen_ai.input.messages": json.dumps(OTEL_SENT[1:]),
                        "gen_ai.system_instructions": json.dumps([INSTRUCTIONS]),
                        "gen_ai.output.messages": json.dumps(
                            [{"role": "assistant", "parts": [OTEL_TOLD]}]
                        ),
                    },
                }
            ],
        },
        TALKING,
    ),
    "OpenTelemetry, content events": (
        {
            **span(gen_ai__operation__name="chat"),
            "events": [
                {
                    "name": "gen_ai.content.prompt",
                    "attributes": {"gen_ai.prompt": json.dumps(WIRE_SENT)},
                },
                {
                    "name": "gen_ai.content.completion",
                    "attributes": {"gen_ai.completion": json.dumps([TOLD])},
                },
            ],
        },
        TALKING,
    ),
    "pydantic-ai, format 1": (
        span(
            gen_ai__operation__name="chat",
            events=json.dumps(
                [
                    {
                        "event.name": "gen_ai.system.message",
                        "content": INSTRUCTIONS,
                        "role": "system",
                    },
                    {"event.name": "gen_ai.user.message", "content": QUESTION, "role": "user"},
                    {"event.name": "gen_ai.choice", "index": 0, "message": TOLD},
                ]
            ),
        ),
        TALKING,
    ),
    "OpenInference": (
        openinference(REQUEST, CHOICE, llm__output_messages__0__message__role="assistant"),
        {**TALKING, "tools": [TOOL]},
    ),
    "OpenInference, Responses": (
        openinference(
            {"input": QUESTION, "instructions": INSTRUCTIONS, "tools": [FLAT_TOOL]},
            {"object": "response", "output": [ITEM_CALL]},
        ),
        CALLING,
    ),
    "OpenInference, DSPy": (
        openinference(
            {"prompt": None, "messages": WIRE_SENT, "kwargs": {"tools": [TOOL]}},
            [{"text": None, "tool_calls": WIRE_ANSWER["tool_calls"]}],
            output__mime_type="application/json",
            llm__output_messages__0__message__role="assistant",
        ),
        CALLING,
    ),
    "OpenInference, messages only": (
        openinference(
            llm__input_messages__0__message__role="system",
            llm__input_messages__0__message__content=INSTRUCTIONS,
            llm__input_messages__1__message__role="user",
            llm__input_messages__1__message__content=QUESTION,
            llm__output_messages__0__message__role="assistant",
            llm__output_messages__0__message__tool_calls__0__tool_call__id="call_5",
            llm__output_messages__0__message__tool_calls__0__tool_call__function__name="find_room",
            llm__output_messages__0__message__tool_calls__0__tool_call__function__arguments=(
                '{"beds": 2}'
            ),
            llm__tools__0__tool__json_schema=json.dumps(TOOL),
            llm__finish_reason="tool_calls",
        ),
        CALLING,
    ),
}
"""Name of the instrumentor -> the run, and the line of a training file that it makes."""
