"""A LangChain app that LangSmith's tracer watches; the environment says where it sends its runs.

`python -m support.otel_app` asks its model twice and prints "done" once all is sent.
"""

import sys

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.langchain import wait_for_all_tracers
from opentelemetry import trace

QUESTION = [SystemMessage("You sell tea."), HumanMessage("Which tea is mild?")]


def main():
    """Run the app."""
    model = GenericFakeChatModel(messages=iter([AIMessage("Green."), AIMessage("White.")]))
    shop = (RunnableLambda(lambda question: question) | model).with_config(run_name="shop")
    for _ in range(2):
        shop.invoke(QUESTION, {"metadata": {"thread_id": "talk-1"}})
    wait_for_all_tracers()
    trace.get_tracer_provider().shutdown()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
