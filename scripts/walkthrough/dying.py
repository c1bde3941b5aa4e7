"""The third walkthrough: a hosted model goes dark, and the app moves to one of its own.

The hosted model is played by the engine: the calculator's model answers under the name of a
fine-tune of OpenAI, as the app's code has it.
"""

from pathlib import Path

from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openai import ChatOpenAI
from langsmith import Client

from langchain_finetune import FineTune, Migration, MigrationResult, RichProgress, recent_runs
from langchain_finetune.engines.local import EngineAddress
from langchain_finetune.migration.swap import alias_of, promote
from walkthrough.calculator import tools_chain
from walkthrough.questions import held_out

DYING = "ft:gpt-4o-mini-2024-07-18:acme:calculator:9xYzAbCd"


def app(engine: EngineAddress) -> ChatOpenAI:
    """Return the model as the app's code has it; it stays the same."""
    return ChatOpenAI(model=DYING, base_url=engine.base_url, api_key=engine.api_key, temperature=0)


def serve_as_dying(model: str) -> None:
    """Let a model of the engine answer under the name of the hosted one."""
    promote(DYING, model, alias_of(DYING))


def use(engine: EngineAddress, client: Client, per_language: int) -> int:
    """Ask the app the questions of a day; LangChain's tracer records them."""
    chain = tools_chain(app(engine))
    questions = held_out(per_language, seed=7)
    chain.batch([{"input": each.text} for each in questions], {"max_concurrency": 4})
    wait_for_all_tracers()
    client.flush()
    return len(questions)


def migrate_app(
    client: Client, project: str, base: str, out: Path, *, progress: RichProgress, margin: float
) -> MigrationResult:
    """Rescue, record, train, compare, and swap if the new model passes.

    A share of less than `margin` of its calls may be others.
    """
    migration = Migration(
        model=DYING,
        to=FineTune(model=base, engine="local", suffix="migrated", seed=2),
        out=out,
        sources=[recent_runs(DYING, project, client=client)],
        engine="local",
        answers=0,
        held_out=0.4,
        at_least={"arguments_match": -margin},
    )
    return migration.run(config={"callbacks": [progress]})
