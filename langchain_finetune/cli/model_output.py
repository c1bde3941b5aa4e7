"""A fine-tuned model as commands print it: its name alone, and how to use it beside that."""

from langchain_finetune.cli.output import print_line
from langchain_finetune.engines import engine_of
from langchain_finetune.engines.access import same_address
from langchain_finetune.finetune.job import Job


def print_model(job: Job, name: str | None) -> None:
    """Print a model's name on standard output, and on standard error how to use it in Python."""
    print_line(name or "")
    print_line(f"\nUse it in Python:\n\n{python_for(job)}", err=True)


def python_for(job: Job) -> str:
    """Return the lines of Python that make a job's model a `ChatOpenAI`."""
    settings = [f"model={job.base_model!r}", f"engine={job.engine!r}"]
    engine = engine_of(job.engine)
    if job.base_url and not same_address(job.base_url, engine.default_base_url()):
        settings.append(f"base_url={job.base_url!r}")
    given = ""
    if engine.deployment is not None:
        settings.append("deployment=deployment")
        given = "deployment=deployment"
    lines = [
        "from langchain_finetune import FineTune",
        "",
        f"step = FineTune({', '.join(settings)})",
        f"model = step.from_job_id({job.job_id!r}).model({given})",
    ]
    if engine.deployment is not None:
        name = engine.deployment.__name__
        lines[0] += f", {name}"
        lines.insert(1, f"deployment = {name}(...)")
    return "\n".join(f"    {line}".rstrip() for line in lines)
