"""Commands of the embedded engine."""

import os
import webbrowser
from functools import partial
from html import escape
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from openai import OpenAI, OpenAIError

from langchain_finetune.cli.output import AsJson, print_json, print_line
from langchain_finetune.engines.local import ensure_engine, stop_engine
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.home import KEY_VARIABLE, home_path
from langchain_finetune.local.addresses import LOOPBACK, certificate_of
from langchain_finetune.local.server import parse_aliases
from langchain_finetune.local.server import serve as serve_engine
from langchain_finetune.local.training.machines.settings import read_machines


def serve(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on. A public one requires a certificate.")
    ] = LOOPBACK,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Alias of a base model, such as gpt-3.5-turbo=nano. Repeatable."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate and its chain.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of the private key.")] = None,
    insecure_public: Annotated[
        bool,
        typer.Option(
            "--insecure-public",
            help="Listen publicly without encryption: others can read the key.",
        ),
    ] = False,
    model_memory: Annotated[
        str | None,
        typer.Option(help="Memory limit of loaded models, such as 4GB.", metavar="SIZE"),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible server, such as vLLM, that generates the answers; its key is "
            "read from LCFT_UPSTREAM_API_KEY.",
            metavar="URL",
        ),
    ] = None,
    upstream_model: Annotated[
        list[str] | None,
        typer.Option(help="Name of a model at the upstream. Repeatable.", metavar="NAME=UPSTREAM"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL server that keeps runs and datasets, such as "
            "postgresql://user@host/database, in place of a file. Others see this option: give the "
            "password in PGPASSWORD or ~/.pgpass, or the whole address in LCFT_STORE.",
            metavar="URL",
        ),
    ] = None,
    trainer: Annotated[
        str | None,
        typer.Option(
            help="Train with several processes: torchrun, here and on machines that join, or ray,"
            " on a Ray cluster.",
            metavar="TRAINER",
        ),
    ] = None,
    trainer_address: Annotated[
        str | None,
        typer.Option(
            help="Address of this machine that others join, or of the Ray cluster.",
            metavar="HOST:PORT",
        ),
    ] = None,
    trainer_nodes: Annotated[
        int | None,
        typer.Option(min=1, help="Number of machines that train together, with this one."),
    ] = None,
    trainer_processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Training processes here, or on the Ray cluster; by default one a GPU."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the embedded engine in the foreground; with --json, print its address once ready."""
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
        store=store,
        machines=read_machines(
            os.environ,
            trainer=trainer,
            address=trainer_address,
            nodes=trainer_nodes,
            processes=trainer_processes,
        ),
    )

    def announce(url: str) -> None:
        key_file = home / "api_key"
        if as_json:
            print_json({"base_url": f"{url}/v1", "langsmith": url, "api_key_file": str(key_file)})
            return
        print_line(
            f"Serving at {url}: the web page at /, OpenAI's API at /v1, LangSmith's API at /.\n"
            f"The key is in {key_file} (or {KEY_VARIABLE}). Press Ctrl-C to stop.",
            err=True,
        )

    # Only once it serves: it may fail to start, and the port may be chosen then.
    run(on_start=announce)


def page(
    open_browser: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--open", help="Open the link in a browser.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Print a link to the engine's web page. It signs a browser in, once, within 5 minutes."""
    address = ensure_engine(home_path())
    key = address.api_key.get_secret_value()
    with OpenAI(base_url=address.url, api_key=key) as client:
        try:
            ticket = cast("dict[str, Any]", client.post("/ui/tickets", cast_to=object, body={}))
        except OpenAIError as error:
            raise explained(error, address.url) from error
    link = f"{address.url}/ui/sign-in?ticket={ticket['ticket']}"
    opened = open_browser and webbrowser.open(_redirect(home_path(), link).as_uri())
    if as_json:
        print_json({"url": link, "expires_in": ticket["expires_in"], "opened": opened})
        return
    if open_browser and not opened:
        print_line("Could not open a browser. Open this link in one:", err=True)
    print_line(link)
    print_line(f"The link works once, within {ticket['expires_in'] // 60} minutes.", err=True)


def _redirect(home: Path, link: str) -> Path:
    """Write a page that only its owner can read and that leads to a link.

    All users of the machine see the arguments of a browser's process.
    """
    path = home / "open-page.html"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(f'<meta http-equiv="refresh" content="0; url={escape(link)}">')
    return path.absolute()


def stop(as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Stop the embedded engine."""
    stopped = stop_engine(home_path())
    if as_json:
        print_json({"stopped": stopped})
    else:
        print_line("Stopped." if stopped else "No engine is running on this home.")
