"""Commands of the embedded engine."""

import webbrowser
from typing import Annotated, Any, cast

import typer
from openai import OpenAI, OpenAIError

from langchain_finetune.cli.output import AsJson, print_json, print_rows
from langchain_finetune.finetune.engines.answers import explained
from langchain_finetune.finetune.engines.embedded import ensure_engine, stop_engine
from langchain_finetune.home import KEY_VARIABLE, home_path
from langchain_finetune.local.server import parse_aliases
from langchain_finetune.local.server import serve as serve_engine


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Another name of a base, such as gpt-3.5-turbo=nano. Repeatable."),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Run the embedded engine here until it is stopped; JSON comes once it answers."""
    home = home_path()

    def tell(url: str) -> None:
        key_file = str(home / "api_key")
        print_json({"base_url": f"{url}/v1", "langsmith": url, "api_key_file": key_file})

    if as_json:
        serve_engine(home, host=host, port=port, aliases=parse_aliases(alias or ()), on_start=tell)
        return
    where = f"http://127.0.0.1:{port}" if port else "an address that the log tells"
    typer.echo(
        f"Serving at {where}: the page at /, OpenAI's API under /v1, LangSmith's at the root.\n"
        f"The key is in {home / 'api_key'} (or in {KEY_VARIABLE}). Ctrl-C stops the engine.",
        err=True,
    )
    serve_engine(home, host=host, port=port, aliases=parse_aliases(alias or ()))


def page(
    open_browser: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--open", help="Open it in this machine's browser.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Print a link that signs a browser in to the engine's page: once, and for some minutes."""
    address = ensure_engine(home_path())
    key = address.api_key.get_secret_value()
    with OpenAI(base_url=address.url, api_key=key) as client:
        try:
            given = cast("dict[str, Any]", client.post("/ui/tickets", cast_to=object, body={}))
        except OpenAIError as error:
            raise explained(error, address.url) from error
    link = f"{address.url}/ui/sign-in?ticket={given['ticket']}"
    opened = open_browser and webbrowser.open(link)
    if as_json:
        print_json({"url": link, "expires_in": given["expires_in"], "opened": opened})
        return
    if open_browser and not opened:
        typer.echo("No browser could be opened: open this link in one.", err=True)
    typer.echo(link)
    typer.echo(f"It works once, within {given['expires_in'] // 60} minutes.", err=True)


def stop(as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Stop the embedded engine that runs in the background."""
    stopped = stop_engine(home_path())
    if as_json:
        print_json({"stopped": stopped})
    else:
        typer.echo("Stopped." if stopped else "No engine runs on this home.")


def models(as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """List the models of the embedded engine, the newest first."""
    address = ensure_engine(home_path())
    key = address.api_key.get_secret_value()
    with OpenAI(base_url=address.base_url, api_key=key) as client:
        try:
            found = sorted(client.models.list(), key=lambda each: each.created, reverse=True)
        except OpenAIError as error:
            raise explained(error, address.base_url) from error
    rows = [{"model": each.id, "owned_by": each.owned_by} for each in found]
    print_rows(rows, as_json=as_json, none="The engine has no model.")
