"""Run the walkthroughs and print their progress: `scripts/demo [--base smollm2-135m]`."""

import argparse
import io
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langsmith import Client, tracing_context
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from langchain_finetune import (
    Convert,
    Examples,
    FineTune,
    FineTuningError,
    Hyperparameters,
    LangSmithDatasetChatLoader,
    LangSmithRunChatLoader,
    LossCurve,
    RichProgress,
)
from langchain_finetune.engines.local import (
    EngineAddress,
    ensure_engine,
    find_engine,
    stop_engine,
)
from langchain_finetune.home import home_path
from langchain_finetune.local.base_library import KNOWN, NANO, added_base
from walkthrough.calculator import tools_chain
from walkthrough.dying import DYING, app, migrate_app, serve_as_dying, use
from walkthrough.evaluate import Score, evaluate, total
from walkthrough.extraction import HELD_OUT, conversation, upload_dataset
from walkthrough.questions import LANGUAGES, asked, held_out, reworded
from walkthrough.teacher import RuleBasedTeacher
from walkthrough.traffic import SUCCEEDED_AND_LIKED, record_traffic

# The file is named, so that it is shown also where standard output is redirected.
console = Console(file=sys.stdout)
QUESTION = "What's 56/7?"


@dataclass(frozen=True)
class Walk:
    """The base that is fine-tuned, and how much is asked.

    Questions in each language: `asks_base` to the base, `asks` to the model that was fine-tuned,
    `rewords` to it in other wordings, and `used` before the migration. `margin` is what the gate
    can show by the latter.
    """

    base: str
    asks_base: int = 28
    asks: int = 28
    rewords: int = 12
    epochs_of_extraction: int = 10
    used: int = 36
    margin: float = 0.05

    @classmethod
    def of(cls, base: str) -> "Walk":
        """Return that of a base: a hundred times the size of `nano` takes longer to answer."""
        if base == NANO:
            return cls(base)
        # It learns from 180 answers what 44 do not teach it, and of 120 that are held out one in
        # ten may differ.
        return cls(base, asks_base=8, rewords=4, epochs_of_extraction=4, used=60, margin=0.15)


def main() -> None:
    """Run the demo; stop the engine at the end if the demo started it."""
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--base", default=NANO, help="base model; a known one is added first")
    base = parser.parse_args().base
    walk = Walk.of(base)
    if base in KNOWN and not added_base(base):
        add = [sys.executable, "-m", "langchain_finetune.cli", "bases", "add", base]
        subprocess.run(add, check=True)
    began = time.monotonic()
    teacher = _teacher()
    ran_before = find_engine(home_path()) is not None
    engine = ensure_engine(home_path())
    try:
        project = f"calculator-{time.strftime('%Y%m%d-%H%M%S')}"
        client = _trace_to(engine, project)
        record(client, teacher, project)
        with tracing_context(enabled=False):
            tuned = calculator(client, project, engine, walk)
            extraction(client, walk)
            console.rule("The fine-tuned model in the app")
            answer = tools_chain(tuned).invoke({"input": QUESTION})
        console.print(f"{QUESTION} -> [bold]{answer}[/bold]   ({tuned.model_name})")
        verdict = migration(client, project, engine, tuned, walk)
        _goodbye(tuned)
    finally:
        if not ran_before:
            stop_engine(home_path())
    console.print(f"Done in {time.monotonic() - began:.0f} s.")
    if answer != 56 / 7:
        raise SystemExit(f"The fine-tuned model's answer is wrong: {answer}")
    if verdict != "pass":
        told = f"The gate's verdict on the migrated model: {verdict}."
        if walk.base == NANO:
            raise SystemExit(told)
        # How much another base learns of so few answers is for the gate to say.
        console.print(f"{told} The app keeps its old model.")


def record(client: Client, teacher: BaseChatModel, project: str) -> None:
    """Simulate the app's users; LangChain's tracer records the runs."""
    console.rule("1. LangSmith LLM runs: a calculator")
    with Progress(console=console) as progress:
        task = progress.add_task("Questions of the app's users", total=2 * len(asked()))
        traffic = record_traffic(teacher, client, project, lambda: progress.advance(task))
    console.print(
        f"Traced {traffic.asked} questions: {traffic.failed} failed, "
        f"{traffic.liked} liked, {traffic.disliked} disliked."
    )


def calculator(client: Client, project: str, engine: EngineAddress, walk: Walk) -> ChatOpenAI:
    """Run the first walkthrough: fine-tune a model on the app's traces."""
    everything = LangSmithRunChatLoader(project_name=project, client=client).invoke({})
    readable = sum(1 for _ in everything)
    console.print(
        f"LLM runs in the project: {readable} contain a complete chat, "
        f"skipped by reason: {everything.skipped_by_reason()}"
    )
    loader = LangSmithRunChatLoader(
        project_name=project, client=client, trace_filter=SUCCEEDED_AND_LIKED
    )
    examples = (loader | Convert()).invoke({})
    untuned = ChatOpenAI(
        model=walk.base, base_url=engine.base_url, api_key=engine.api_key, temperature=0
    )
    tuned, losses = _fine_tune(walk.base, examples, "calculator", Hyperparameters())
    path = home_path() / "loss_curve.png"
    LossCurve([{"step": step, "train_loss": loss} for step, loss in losses]).save(path)
    console.print(f"Loss curve: {path}")
    _compare(untuned, tuned, walk)
    return tuned


def extraction(client: Client, walk: Walk) -> None:
    """Run the second walkthrough: fine-tune a model on a chat dataset."""
    console.rule("2. LangSmith chat datasets: open information extraction")
    name = f"extraction-{time.strftime('%Y%m%d-%H%M%S')}"
    upload_dataset(client, name)
    loader = LangSmithDatasetChatLoader(dataset_name=name, client=client)
    examples = (loader | Convert()).invoke({})
    tuned, _ = _fine_tune(
        walk.base, examples, "extraction", Hyperparameters(n_epochs=walk.epochs_of_extraction)
    )
    answer = tuned.invoke(conversation(HELD_OUT))
    console.print(f"{HELD_OUT} -> [bold]{answer.content}[/bold]")
    if walk.base == NANO:
        console.print("(nano knows little language; this only shows that the pipeline works.)")


def migration(
    client: Client, project: str, engine: EngineAddress, tuned: ChatOpenAI, walk: Walk
) -> str:
    """Run the third walkthrough: a hosted model goes dark. Return the gate's verdict."""
    console.rule("3. A hosted model goes dark: migrate")
    serve_as_dying(tuned.model_name)
    count = use(engine, client, walk.used)
    console.print(f"The app asked {DYING} {count} questions.")
    out = home_path() / "migrations" / project
    # LangSmith's `evaluate` prints links and bars.
    os.environ["TQDM_DISABLE"] = "1"
    silent = redirect_stdout(io.StringIO())
    with silent, tracing_context(enabled=False), RichProgress(console) as progress:
        result = migrate_app(client, project, walk.base, out, progress=progress, margin=walk.margin)
        answer = tools_chain(app(engine)).invoke({"input": QUESTION})
    console.print(str(result), markup=False, highlight=False, soft_wrap=True)
    console.print(f"The app's code as it was: {QUESTION} -> [bold]{answer}[/bold]")
    console.print(f"Report: {result.report}", markup=False, highlight=False, soft_wrap=True)
    return result.verdict


def _fine_tune(
    base: str, examples: Examples, suffix: str, hyperparameters: Hyperparameters
) -> tuple[ChatOpenAI, list[tuple[int, float]]]:
    step = FineTune(
        model=base,
        engine="local",
        suffix=suffix,
        seed=1,
        hyperparameters=hyperparameters,
        chat_settings={"temperature": 0},
        reuse=False,  # Train again each time that the demo is run.
    )
    with RichProgress(console) as progress:
        tuned = step.invoke(examples, {"callbacks": [progress]})
    kept = (tuned.metadata or {})["training_examples"]
    left_out = examples.rejected_by_reason() or "none"
    console.print(f"Converted: {kept} examples kept, rejected by reason: {left_out}")
    return tuned, progress.losses


def _compare(base: ChatOpenAI, tuned: ChatOpenAI, walk: Walk) -> None:
    table = Table(title="Correct calls on numbers that were not trained on")
    for column in ("", *LANGUAGES, "all"):
        table.add_column(column, justify="left" if not column else "right")
    rows = (
        (f"base {base.model_name}", evaluate(base, held_out(walk.asks_base))),
        ("tuned", evaluate(tuned, held_out(walk.asks))),
        ("tuned, unseen wordings", evaluate(tuned, reworded(walk.rewords))),
    )
    for name, score in rows:
        table.add_row(name, *_cells(score))
    console.print(table)


def _cells(score: Score) -> list[str]:
    pairs = [*(score[language] for language in LANGUAGES), total(score)]
    return [f"{right}/{count}" for right, count in pairs]


def _teacher() -> BaseChatModel:
    if os.environ.get("OPENAI_API_KEY"):
        console.print("The app's model so far: gpt-4o-mini (OPENAI_API_KEY is set).")
        return ChatOpenAI(model="gpt-4o-mini", temperature=0)
    console.print("The app's model so far: a rule-based stand-in (no OPENAI_API_KEY).")
    return RuleBasedTeacher()


def _trace_to(engine: EngineAddress, project: str) -> Client:
    """Send traces to the embedded engine's run store; return a client for it.

    langsmith caches the variables, so they are set before its first use.
    """
    os.environ["LANGSMITH_PROJECT"] = project
    os.environ["LANGSMITH_TRACING"] = "true"
    os.environ["LANGSMITH_ENDPOINT"] = engine.url
    os.environ["LANGSMITH_API_KEY"] = engine.api_key.get_secret_value()
    return Client()


def _goodbye(tuned: ChatOpenAI) -> None:
    home = Path(os.environ["LCFT_HOME"])
    console.print(
        "\nTo use the model again, serve the same home:\n"
        f"  LCFT_HOME={home} .venv/bin/langchain-finetune serve --port 8123\n"
        f'  ChatOpenAI(model="{tuned.model_name}", base_url="http://127.0.0.1:8123/v1", '
        f'api_key=open("{home}/api_key").read())\n'
        "To compare it with its base and view runs and jobs of this demo in a browser:\n"
        f"  LCFT_HOME={home} .venv/bin/langchain-finetune page --open",
        soft_wrap=True,
    )


if __name__ == "__main__":
    try:
        main()
    except FineTuningError as error:
        sys.exit(f"Error: {error}")
