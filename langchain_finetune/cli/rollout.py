"""Commands that roll models out, and back, on the embedded engine."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, cast
from urllib.parse import quote

import typer
from openai import OpenAI, OpenAIError

from langchain_finetune.cli.output import AsJson, print_json, print_line, print_result, print_rows
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.home import home_path

Alias = Annotated[str, typer.Argument(help="Name that apps call.")]
Model = Annotated[str, typer.Argument(help="Model of the engine.")]
Body: TypeAlias = dict[str, Any]


def promote(
    name: Alias,
    model: Annotated[
        str | None, typer.Argument(help="Model of the engine; by default the one that is tried.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Let a model answer all requests for a name. Makes the alias if there is none."""
    _step(name, as_json, action="promote", model=model)


def rollback(name: Alias, *, as_json: AsJson = False) -> None:
    """End a canary or shadow or, without one, go back to the model before."""
    _step(name, as_json, action="rollback")


def canary(
    name: Alias,
    model: Model,
    *,
    share: Annotated[
        str, typer.Option(help="Part of the threads or users that it answers, from 0 to 1.")
    ] = "0.1",
    as_json: AsJson = False,
) -> None:
    """Let a model answer a share of the threads or users, who keep it while the share grows."""
    _step(name, as_json, action="canary", model=model, share=share)


def shadow(name: Alias, model: Model, *, as_json: AsJson = False) -> None:
    """Ask a model too, after each answer, without showing what it answers; both are recorded."""
    _step(name, as_json, action="shadow", model=model)


def aliases(
    name: Annotated[str | None, typer.Argument(help="Show this one, with its history.")] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the alias.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the aliases of the embedded engine, or show or remove one."""
    if name is None:
        if remove:
            raise typer.BadParameter("--remove needs the name of an alias.")
        found = _asked(lambda client: client.get("/aliases", cast_to=object))["data"]
        rows = [_row(alias) for alias in found]
        print_rows(found if as_json else rows, as_json=as_json, none="The engine has no aliases.")
        return
    path = _path(name)
    if remove:
        print_result(_asked(lambda c: c.delete(path, cast_to=object)), as_json=as_json)
        return
    alias = _asked(lambda client: client.get(path, cast_to=object))
    if as_json:
        print_json(alias)
        return
    print_rows([_row(alias)], as_json=False, none="")
    for title, rows in (
        ("Models", [_figures(each) for each in alias["figures"]]),
        ("History, newest first", [_change(each) for each in alias["history"]]),
    ):
        if rows:
            print_line(f"\n{title}:")
            print_rows(rows, as_json=False, none="")


def _step(name: str, as_json: bool, **step: str | None) -> None:  # noqa: FBT001 - an option
    body = {key: value for key, value in step.items() if value is not None}
    alias = _asked(lambda client: client.post(_path(name), cast_to=object, body=body))
    if as_json:
        print_json(alias)
    else:
        print_rows([_row(alias)], as_json=False, none="")


def _asked(ask: Callable[[OpenAI], object]) -> Body:
    address = ensure_engine(home_path())
    key = address.api_key.get_secret_value()
    # A rollback that is sent twice goes back twice.
    with OpenAI(base_url=address.base_url, api_key=key, max_retries=0) as client:
        try:
            return cast("Body", ask(client))
        except OpenAIError as error:
            raise explained(error, address.base_url) from error


def _path(name: str) -> str:
    return f"/aliases/{quote(name, safe='')}"


def _row(alias: Body) -> Body:
    return {
        "alias": alias["id"],
        "model": alias["target"],
        "tried": alias["candidate"],
        "as": _mode(alias),
        "before": alias["earlier"][-1] if alias["earlier"] else None,
    }


def _mode(alias: Body) -> str | None:
    if alias["mode"] == "canary":
        return f"canary of {float(alias['share']):.4g}"
    return None if alias["mode"] == "promoted" else alias["mode"]


def _change(change: Body) -> Body:
    return {
        "time": dt.datetime.fromtimestamp(change["created_at"]).astimezone().isoformat(" "),
        "step": change["action"],
        "model": change["target"],
        "tried": change["candidate"],
        "as": _mode(change),
    }


def _figures(figures: Body) -> Body:
    latency = figures["mean_latency"]
    feedback = [f"{each['key']} {each['mean']:.3g} ({each['n']})" for each in figures["feedback"]]
    return {
        "model": figures["model"],
        "runs of": figures["source"],
        "runs": figures["runs"],
        "errors": figures["errors"],
        "seconds": None if latency is None else f"{latency:.2f}",
        "feedback": ", ".join(feedback) or None,
    }
