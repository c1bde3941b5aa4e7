"""A process that runs a chain and may be killed: `client_process.py HEARD NAME`.

`HEARD` is the file that the ids of the events it is told of go to. The engine's address, its key
and the home come from the environment. The model's name is its last word.
"""

import os
import sys

from langchain_core.callbacks import BaseCallbackHandler

from langchain_finetune import Convert, FineTune
from langchain_finetune.finetune.callbacks import PROGRESS_EVENT
from support.jobs import chats, quick_flows


class WritesDown(BaseCallbackHandler):
    raise_error = True

    def on_custom_event(self, name, data, **_):
        if name == PROGRESS_EVENT and data["event_id"]:
            os.write(HEARD, f"{data['event_id']}\n".encode())


if __name__ == "__main__":
    HEARD = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    examples = Convert().invoke(chats(text=sys.argv[2] + " {n}"))
    with quick_flows(0.05):
        model = FineTune(model="nano", seed=0).invoke(examples, {"callbacks": [WritesDown()]})
    sys.stdout.write(model.model_name)
