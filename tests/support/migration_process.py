"""A process that migrates and may be killed: `migration_process.py SETTINGS`.

The settings are JSON: those of `Migration`, and `to` of `FineTune`. Each news is a line: the step,
or the side of the comparison, or `state` before the state is written. `PAUSE=2` waits there the
second time. `TWIN=async` runs the async twin.
"""

import asyncio
import json
import os
import sys
import time

from langchain_core.callbacks import BaseCallbackHandler

from langchain_finetune import FineTune, InferencePrice, Migration


def say(what):
    os.write(1, f"{what}\n".encode())


class News(BaseCallbackHandler):
    """Tells of training and comparison."""

    def on_custom_event(self, name, data, **_):
        say("train" if name == "fine_tuning_progress" else data.get("side", name))


class StateWatch:
    """Tells each time that the state is written, and waits there once."""

    def __init__(self, pause):
        self.pause, self.count = pause, 0

    def __call__(self, event, arguments):
        """Hear an event of Python's audit hooks; this one comes before the file has its name."""
        if event == "os.rename" and str(arguments[1]).endswith("/migration.json"):
            self.count += 1
            say("state")
            if self.count == self.pause:
                time.sleep(60)


if __name__ == "__main__":
    sys.addaudithook(StateWatch(int(os.environ.get("PAUSE", "0"))))
    settings = json.loads(sys.argv[1])
    settings["to"] = FineTune(**settings["to"])
    migration = Migration(
        confirm=lambda _: True, price=InferencePrice(input_usd=1, output_usd=1), **settings
    )

    async def ahear(news):
        say(news.step)

    if os.environ.get("TWIN") == "async":
        asyncio.run(migration.arun(on_progress=ahear, config={"callbacks": [News()]}))
    else:
        migration.run(on_progress=lambda news: say(news.step), config={"callbacks": [News()]})
    say("done")
