"""Commands of the embedded engine."""

import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from openai import OpenAI, OpenAIError

from langchain_finetune.cli.output import AsJson, print_json, print_rows
from langchain_finetune.engines.local import ensure_engine, stop_engine
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.home import KEY_VARIABLE, home_path
from langchain_finetune.local.addresses import LOOPBACK, certificate_of, url_of
from langchain_finetune.local.server import parse_aliases
from langchain_finetune.local.server import serve as serve_engine


def serve(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Where to listen. One that others reach takes a certificate.")
    ] = LOOPBACK,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Another name of a base, such as gpt-3.5-turbo=nano. Repeatable."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate with its chain, a PEM file.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, a PEM file.")] = None,
    insecure_public: Annotated[
        bool,
        typer.Option(
            "--insecure-public",
            help="Let others in without encryption: the key can be read on its way.",
        ),
    ] = False,
    model_memory: Annotated[
        str | None,
        typer.Option(help="Most that models in memory may take, such as 4GB.", metavar="SIZE"),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="A server of OpenAI's API, such as vLLM, that writes the answers; its key is in "
            "LANGCHAIN_FINETUNE_UPSTREAM_API_KEY.",
            metavar="URL",
        ),
    ] = None,
    upstream_model: Annotated[
        list[str] | None,
        typer.Option(help="A model's name there, where it is another.", metavar="NAME=THEIRS"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the embedded engine here until it is stopped; JSON comes once it answers."""
    home = home_path()
    certificate = certificate_of(tls_cert, tls_key)
    run = partial(
        serve_engine,
        home,
        host=host,
        port=port,
        aliases=parse_aliases(alias or ()),
        certificate=certificate,
        insecure_public=insecure_public,
        model_memory=model_memory,
        upstream=upstream,
        upstream_models=parse_aliases(upstream_model or ()),
    )

    def tell(url: str) -> None:
        key_file = str(home / "api_key")
        print_json({"base_url": f"{url}/v1", "langsmith": url, "api_key_file": key_file})

    if as_json:
        run(on_start=tell)
        return
    known = port and not (certificate or insecure_public)
    where = url_of(host, port) if known else "the address that the log tells"
    typer.echo(
        f"Serving at {where}: the page at /, OpenAI's API under /v1, LangSmith's at the root.\n"
        f"The key is in {home / 'api_key'} (or in {KEY_VARIABLE}). Ctrl-C stops the engine.",
        err=True,
    )
    run()


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
