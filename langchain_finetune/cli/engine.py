"""Commands of the embedded engine."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from openai import OpenAI, OpenAIError

from langchain_finetune.cli.output import AsJson, print_json, print_rows
from langchain_finetune.finetune.engines.answers import explained
from langchain_finetune.finetune.engines.embedded import ensure_engine, stop_engine
from langchain_finetune.home import KEY_VARIABLE, home_path
from langchain_finetune.local.listening import LOOPBACK, certificate_of, url_of
from langchain_finetune.local.server import parse_aliases
from langchain_finetune.local.server import serve as serve_engine


def serve(  # noqa: PLR0917 - options
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
    insecure_public: Annotated[  # noqa: FBT002 - an option
        bool,
        typer.Option(
            "--insecure-public",
            help="Let others in without encryption: the key can be read on its way.",
        ),
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002 - an option
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
        f"Serving at {where}: OpenAI's API under /v1, LangSmith's at the root.\n"
        f"The key is in {home / 'api_key'} (or in {KEY_VARIABLE}). Ctrl-C stops the engine.",
        err=True,
    )
    run()


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
