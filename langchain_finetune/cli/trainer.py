"""`trainer`: lets this machine train along."""

import os
from typing import Annotated

import typer

from langchain_finetune.cli.output import print_line
from langchain_finetune.home import home_path
from langchain_finetune.local.server import require_extra
from langchain_finetune.local.training.machines.join import join


def trainer(
    *,
    address: Annotated[
        str,
        typer.Option(
            "--join", help="The engine's --trainer-address, on its machine.", metavar="HOST:PORT"
        ),
    ],
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Training processes of this machine; by default one a GPU."),
    ] = None,
) -> None:
    """Let this machine train along with an engine's, one job after the other, until Ctrl-C.

    The engine's home has to be shared, at the same path (LCFT_HOME), and the network has to be a
    private one: PyTorch's processes talk without encryption and without a key.
    """
    require_extra()
    os.umask(0o077)
    join(address, home_path(), processes=processes, tell=lambda text: print_line(text, err=True))
