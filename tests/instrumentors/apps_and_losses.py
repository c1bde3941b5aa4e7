"""Which instrumentors are run, and what each of them is known to leave out of its trace."""

APPS = {
    "LangChain.js, ChatOpenAI": ("langchain_js.mjs", "openai"),
    "LangChain.js, ChatOpenAI (Responses)": ("langchain_js.mjs", "responses"),
    "LangChain.js, ChatAnthropic": ("langchain_js.mjs", "anthropic"),
    "LangChain.js, ChatGoogleGenerativeAI": ("langchain_js.mjs", "genai"),
    "LangChain.js, ChatGoogle": ("langchain_js.mjs", "google"),
    "LangChain, ChatOpenAI by OTLP": ("langchain_app.py", "otel"),
    "LangChain, ChatGoogleGenerativeAI": ("langchain_app.py", "gemini"),
    "LangChain, ChatMistralAI": ("langchain_app.py", "mistral"),
    "AI SDK, OpenAI (Responses)": ("ai_sdk.mjs", "openai"),
    "AI SDK, OpenAI (chat)": ("ai_sdk.mjs", "chat"),
    "AI SDK, Anthropic": ("ai_sdk.mjs", "anthropic"),
    "AI SDK 7, OpenAI (Responses)": ("ai_sdk.mjs", "openai", "package7"),
    "AI SDK 7, OpenAI (chat)": ("ai_sdk.mjs", "chat", "package7"),
    "AI SDK 7, Anthropic": ("ai_sdk.mjs", "anthropic", "package7"),
    "AI SDK's own spans, OpenAI (chat)": ("ai_sdk_otel.mjs", "chat"),
    "AI SDK's own spans, Anthropic": ("ai_sdk_otel.mjs", "anthropic"),
    "AI SDK 7's own spans, OpenAI (Responses)": ("ai_sdk_otel.mjs", "openai", "package7"),
    "AI SDK 7's own spans, Anthropic": ("ai_sdk_otel.mjs", "anthropic", "package7"),
    "LiteLLM, OpenAI (chat)": ("litellm_app.py", "openai"),
    "LiteLLM, OpenAI (Responses)": ("litellm_app.py", "responses"),
    "LiteLLM, Anthropic (chat)": ("litellm_app.py", "anthropic"),
    "LiteLLM, Anthropic (Messages)": ("litellm_app.py", "messages"),
    "pydantic-ai, OpenAI (chat)": ("pydantic_ai_app.py", "openai"),
    "pydantic-ai, OpenAI (Responses)": ("pydantic_ai_app.py", "responses"),
    "pydantic-ai, Anthropic": ("pydantic_ai_app.py", "anthropic"),
    "pydantic-ai, Gemini": ("pydantic_ai_app.py", "gemini"),
    "openai-agents (Responses)": ("openai_agents_app.py", "responses"),
    "openai-agents (chat)": ("openai_agents_app.py", "chat"),
    "OpenLLMetry, OpenAI (chat)": ("openllmetry_app.py", "chat"),
    "OpenLLMetry, OpenAI (Responses)": ("openllmetry_app.py", "responses"),
    "OpenLLMetry, Anthropic": ("openllmetry_app.py", "anthropic"),
    "OpenInference, OpenAI (chat)": ("openinference_app.py", "chat"),
    "OpenInference, OpenAI (Responses)": ("openinference_app.py", "responses"),
    "OpenInference, Anthropic": ("openinference_app.py", "anthropic"),
    "OpenInference, CrewAI": ("crewai_app.py", "chat"),
    "OpenInference, DSPy": ("dspy_app.py", "chat"),
    "wrap_openai (chat)": ("wrappers_app.py", "chat"),
    "wrap_openai (Responses)": ("wrappers_app.py", "responses"),
    "wrap_anthropic": ("wrappers_app.py", "anthropic"),
    "wrap_gemini": ("wrappers_app.py", "gemini"),
}
"""Name -> the script in `apps/`, the provider that it asks, and Node.js' packages if others."""

CALLS = {"LiteLLM, Anthropic (Messages)": 5}
"""How many calls are asked of an instrumentor, where it is not all six."""

FAILURES = {"wrap_anthropic": "streamed: TypeError accumulate_event()"}
"""What an app prints where the instrumentor itself fails."""

PACKAGES = {
    "LangChain.js, ChatGoogleG": ("langchain", "@langchain/google-genai", "langsmith"),
    "LangChain.js, ChatGoogle": ("langchain", "@langchain/google", "langsmith"),
    "LangChain.js, ChatA": ("langchain", "@langchain/anthropic", "langsmith"),
    "LangChain.js": ("langchain", "@langchain/openai", "langsmith"),
    "LangChain, ChatG": ("langchain-core", "langchain-google-genai", "langsmith"),
    "LangChain, ChatM": ("langchain-core", "langchain-mistralai", "langsmith"),
    "LangChain": ("langchain-core", "langchain-openai", "langsmith"),
    "AI SDK 7's own spans, O": ("ai", "@ai-sdk/openai", "@ai-sdk/otel"),
    "AI SDK 7's own spans": ("ai", "@ai-sdk/anthropic", "@ai-sdk/otel"),
    "AI SDK's own spans, O": ("ai", "@ai-sdk/openai"),
    "AI SDK's own spans": ("ai", "@ai-sdk/anthropic"),
    "AI SDK 7, A": ("ai", "@ai-sdk/anthropic", "langsmith"),
    "AI SDK, A": ("ai", "@ai-sdk/anthropic", "langsmith"),
    "AI SDK": ("ai", "@ai-sdk/openai", "langsmith"),
    "LiteLLM": ("litellm",),
    "pydantic-ai": ("pydantic-ai-slim",),
    "openai-agents": ("openai-agents", "langsmith"),
    "OpenLLMetry, A": ("opentelemetry-instrumentation-anthropic", "anthropic"),
    "OpenLLMetry": ("opentelemetry-instrumentation-openai", "openai"),
    "OpenInference, C": ("openinference-instrumentation-crewai", "crewai"),
    "OpenInference, D": ("openinference-instrumentation-dspy", "dspy"),
    "OpenInference, A": ("openinference-instrumentation-anthropic", "anthropic"),
    "OpenInference": ("openinference-instrumentation-openai", "openai"),
    "wrap_openai": ("langsmith", "openai"),
    "wrap_anthropic": ("langsmith", "anthropic"),
    "wrap_gemini": ("langsmith", "google-genai"),
}
"""Beginning of a name -> the packages whose versions the table shows; the first that fits."""

_FORM = "The spans do not have the format."
_TELEMETRY_FORM = "LangSmith's telemetry does not write the format."
_MESSAGES_API = (
    "LiteLLM leaves out a `system` that is blocks: calls without one are a skip"
    " (`incomplete_trace`)."
)
_REQUIRED = "pydantic-ai does not write that it requires a tool."
_AGENTS_TOOLS = "The processor writes no tools of the chat API (`tools_unknown`)."
_AGENTS_FORM = "Nor the format of the answer."
_ITEM_ID = "OpenLLMetry writes the item's id in place of the call's."

LOSSES = {
    "LangChain, ChatOpenAI by OTLP": {
        ("structured", "response_format"): "LangSmith's exporter does not write the format.",
    },
    **{
        f"AI SDK 7, {api}": {("structured", "response_format"): _TELEMETRY_FORM}
        for api in ("OpenAI (Responses)", "OpenAI (chat)", "Anthropic")
    },
    **{name: {("structured", "response_format"): _FORM} for name in APPS if "own spans" in name},
    "LiteLLM, Anthropic (Messages)": {
        (case, "call"): _MESSAGES_API for case in ("plain", "structured")
    },
    "pydantic-ai, OpenAI (chat)": {("structured", "tool_choice"): _REQUIRED},
    "pydantic-ai, OpenAI (Responses)": {("structured", "tool_choice"): _REQUIRED},
    "pydantic-ai, Anthropic": {("structured", "tool_choice"): _REQUIRED},
    "openai-agents (chat)": {
        ("tools", "tools"): _AGENTS_TOOLS,
        ("structured", "response_format"): _AGENTS_FORM,
    },
    "OpenLLMetry, OpenAI (Responses)": {
        ("tools", "answer"): _ITEM_ID,
        ("structured", "response_format"): "It does not write the format.",
    },
    "OpenLLMetry, Anthropic": {
        ("structured", "tool_choice"): "It does not write the choice of a tool.",
    },
    "wrap_anthropic": {
        (
            "streamed",
            "call",
        ): "`create(stream=True)` fails in the wrapper with this version of Anthropic's SDK.",
    },
    "wrap_gemini": {
        ("tools", "call"): "Calls in `types.Content` are not written: a skip (`incomplete_trace`).",
    },
}
"""Name -> what differs (case, field), and why. It is the instrumentor that leaves it out."""
