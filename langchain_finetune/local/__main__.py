"""Run an engine: `python -m langchain_finetune.local --home FOLDER --port 8765`."""

import argparse
import os
import sys
from pathlib import Path

from langchain_finetune.errors import FineTuningError
from langchain_finetune.local.addresses import LOOPBACK, certificate_of
from langchain_finetune.local.server import AnotherEngineError, parse_aliases, serve
from langchain_finetune.local.training.machines.settings import read_machines


def main() -> int:
    """Run an engine until it is stopped; return the exit status of the process."""
    parser = argparse.ArgumentParser(prog="python -m langchain_finetune.local")
    parser.add_argument("--home", type=Path, help="folder of the engine's state")
    parser.add_argument(
        "--host", default=LOOPBACK, help="address to listen on; default: this machine only"
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--alias", action="append", default=[], metavar="NAME=MODEL")
    parser.add_argument("--tls-cert", type=Path, help="PEM file; required for a public host")
    parser.add_argument("--tls-key", type=Path, help="PEM file of the private key")
    parser.add_argument(
        "--insecure-public", action="store_true", help="listen publicly without encryption"
    )
    parser.add_argument(
        "--model-memory", metavar="SIZE", help="memory limit of loaded models, such as 4GB"
    )
    parser.add_argument("--upstream", metavar="URL", help="server that generates the answers")
    parser.add_argument("--upstream-model", action="append", default=[], metavar="NAME=THEIRS")
    parser.add_argument("--store", metavar="URL", help="PostgreSQL server of runs and datasets")
    parser.add_argument("--trainer", help="torchrun or ray, to train with several processes")
    parser.add_argument("--trainer-address", metavar="HOST:PORT")
    parser.add_argument("--trainer-nodes", type=int, metavar="NUMBER")
    parser.add_argument("--trainer-processes", type=int, metavar="NUMBER")
    parser.add_argument("--log-file", type=Path, help="log to this file instead of stderr")
    given = parser.parse_args()
    try:
        serve(
            given.home,
            host=given.host,
            port=given.port,
            aliases=parse_aliases(given.alias),
            model_memory=given.model_memory,
            upstream=given.upstream,
            upstream_models=parse_aliases(given.upstream_model),
            store=given.store,
            machines=read_machines(
                os.environ,
                trainer=given.trainer,
                address=given.trainer_address,
                nodes=given.trainer_nodes,
                processes=given.trainer_processes,
            ),
            log_file=given.log_file,
            certificate=certificate_of(given.tls_cert, given.tls_key),
            insecure_public=given.insecure_public,
        )
    except FineTuningError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code if isinstance(error, AnotherEngineError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
