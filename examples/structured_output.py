"""Get answers that follow a schema, from a model that never learned to write JSON."""

import json
import os
import subprocess
from pathlib import Path
from typing import Literal

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field


class Ticket(BaseModel):
    """A ticket of the help desk."""

    title: str = Field(max_length=40)
    urgency: Literal["low", "high"]


def main() -> None:
    """Run an engine, and ask the base model `nano` for tickets."""
    with subprocess.Popen(
        ["langchain-finetune", "serve", "--json"], stdout=subprocess.PIPE, text=True
    ) as engine:
        try:
            address = json.loads("".join(iter(engine.stdout.readline, "}\n")) + "}")
            key = os.environ.get("LCFT_API_KEY")
            key = key or Path(address["api_key_file"]).read_text()
            model = ChatOpenAI(model="nano", base_url=address["base_url"], api_key=key.strip())
            # What the ticket says is nonsense, since nano is not a useful model. Its shape is not:
            # the engine lets a model write only what the schema allows.
            for complaint in ("The printer is on fire!", "My mouse is slow."):
                ticket = model.with_structured_output(Ticket).invoke(complaint)
                print(complaint, "->", ticket.model_dump_json())
        finally:
            engine.terminate()


if __name__ == "__main__":
    main()
