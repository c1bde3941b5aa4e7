"""A process that records and may be killed: `recording_process.py MODEL FILE OUT ANSWERS`.

The server's address comes from `OPENAI_BASE_URL`, its key from `OPENAI_API_KEY`. It writes a dot
for each answer, and a line when it is done. `TWIN=async` runs the async twin.
"""

import asyncio
import os
import sys

from langchain_finetune import arecord, record

if __name__ == "__main__":
    model, file, out, answers = sys.argv[1:]
    settings = {
        "out": out,
        "answers": int(answers),
        "confirm": lambda _: True,
        "concurrency": int(os.environ.get("CONCURRENCY", "4")),
        "settle_s": 2.0,
    }

    def dot(_):
        os.write(1, b".")

    async def adot(_):
        os.write(1, b".")

    if os.environ.get("TWIN") == "async":
        asyncio.run(arecord(model, [file], on_progress=adot, **settings))
    else:
        record(model, [file], on_progress=dot, **settings)
    os.write(1, b"\n")
