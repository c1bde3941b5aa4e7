"""Trace an app to the engine's run store, and train on what its users liked."""

import json
import os
import subprocess
from pathlib import Path

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langsmith import Client, tracing_context, uuid7

from langchain_finetune import Convert, FineTune, LangSmithRunChatLoader

PROJECT = "greetings"
GREETINGS = ["Hello!", "Good morning!", "Welcome back!", "Nice to see you!"]


def main() -> None:
    """Run an engine, trace to it, leave feedback, and train."""
    # `serve --json` prints one object once the engine answers. Instead, you can run `serve` in a
    # terminal and set LANGSMITH_ENDPOINT and LANGSMITH_API_KEY: then the app needs no change.
    with subprocess.Popen(
        ["langchain-finetune", "serve", "--json"], stdout=subprocess.PIPE, text=True
    ) as engine:
        try:
            address = json.loads("".join(iter(engine.stdout.readline, "}\n")) + "}")
            key = os.environ.get("LCFT_API_KEY")
            key = key or Path(address["api_key_file"]).read_text()
            client = Client(api_url=address["langsmith"], api_key=key.strip())
            liked = trace(client)
            train(client, liked)
        finally:
            engine.terminate()


def trace(client: Client) -> int:
    """Let an app answer 24 users, who like the answers that end with a mark."""
    answers = [f"{GREETINGS[n % 4]}{' How are you?' if n % 2 else ''}" for n in range(24)]
    app = GenericFakeChatModel(messages=iter(AIMessage(answer) for answer in answers))
    runs = [(uuid7(), answer) for answer in answers]
    with tracing_context(enabled=True, client=client, project_name=PROJECT):
        for number, (run_id, _) in enumerate(runs):
            app.invoke(f"Greet user {number}.", {"run_id": run_id})
    client.flush()
    project = client.read_project(project_name=PROJECT).id
    for run_id, answer in runs:
        client.create_feedback(
            run_id, key="user_score", score=float(answer.endswith("?")), session_id=project
        )
    client.flush()
    return sum(answer.endswith("?") for answer in answers)


def train(client: Client, liked: int) -> None:
    """Train on the liked answers only."""
    loader = LangSmithRunChatLoader(
        project_name=PROJECT, client=client, feedback={"key": "user_score", "above": 0}
    )
    examples = (loader | Convert()).invoke({})
    print(f"{liked} answers were liked, {len(list(examples))} are trained on.")
    tuned = FineTune(model="nano", engine="local", hyperparameters={"n_epochs": 20}, seed=1)
    model = tuned.invoke(examples)
    print("Greet user 99. ->", model.invoke("Greet user 99.", max_tokens=24).content)
    print("The tuned model is", model.model_name)


if __name__ == "__main__":
    main()
