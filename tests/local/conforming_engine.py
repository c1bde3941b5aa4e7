"""A real engine process with a fake trainer and the real chat part: `... HOME`."""

import sys
from pathlib import Path

from langchain_finetune.local.server import serve

if __name__ == "__main__":
    home = Path(sys.argv[1])
    trainer = str(Path(__file__).with_name("fake_trainer.py"))
    serve(
        home,
        aliases={"gpt-3.5-turbo": "nano"},
        trainer=[sys.executable, trainer, str(home / "trainer_record")],
    )
