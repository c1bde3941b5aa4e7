"""Renders chat templates in a process of their own, within a bound of time and memory.

A chat template is a program of a base model's authors: one may loop for ever, or fill the memory.
The process ends itself at its bounds, also if the engine is gone, and another one takes its place.
"""

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from socket import socketpair
from typing import Any

SECONDS = 2.0
"""Most CPU time for one chat; a long one takes some milliseconds."""

MEMORY = 1 << 30
"""Most bytes of the process; it has 200 MB before it renders."""

_LARGEST = 256 << 20
"""Most bytes of a rendered chat."""

_PATIENCE = 120
"""Most seconds for an answer, on a machine that is busy with other things."""

STOPPED = (
    f"The model's chat template did not end within {SECONDS:.0f} s and {MEMORY >> 30} GiB of memory"
    " on a chat, so this model is refused: take another base model."
)


class TemplateStoppedError(Exception):
    """A template did not end within its bounds; it is not rendered again."""


class RejectedChatError(ValueError):
    """A template raised an error: it does not take such a chat."""


class BoundedTemplate:
    """Takes the place of a tokenizer's `apply_chat_template`, for `chat_template.render`.

    Example:
        ```python
        tokenizer.apply_chat_template = BoundedTemplate(tokenizer)
        ```
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._stopped = False
        # It is ready by the time that the model is.
        _PROCESS.start()

    def __call__(
        self,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        tokenize: bool = False,
    ) -> str:
        """Render one chat.

        Raises:
            TemplateStoppedError: It took too long or too much memory, now or before.
            RejectedChatError: The template raised an error.
        """
        assert not tokenize
        if self._stopped:
            raise TemplateStoppedError
        asked = {
            # One without a name, or the one for tools.
            "chat_template": self._tokenizer.get_chat_template(None, tools),
            "conversations": [messages],
            "tools": tools,
            "add_generation_prompt": add_generation_prompt,
            **self._tokenizer.special_tokens_map,
        }
        try:
            text = _PROCESS.ask(json.dumps(asked).encode())
        except EOFError as error:
            self._stopped = True
            raise TemplateStoppedError from error
        if text is None:
            raise RejectedChatError
        return text


class _Process:
    """The process, started when it is first needed; one chat at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it if it does not run; it takes a second until it answers."""
        with self._lock:
            self._started()

    def leave(self) -> None:
        """Leave it to the process that this one was forked from, and start another when needed."""
        # As another thread may hold the one of before, for ever.
        self._lock = threading.Lock()
        self._connection = self._process = None

    def stop(self) -> None:
        """End it, whatever it is doing."""
        if process := self._process:
            process.kill()
            process.wait()

    def ask(self, asked: bytes) -> str | None:
        """Return the rendered chat; None if the template raised an error.

        Raises:
            EOFError: The process ended at its bounds.
        """
        with self._lock:
            connection = self._started()
            try:
                connection.send_bytes(asked)
                # After that time it hangs, and is ended.
                if not connection.poll(_PATIENCE):
                    self._end()
                answer = connection.recv_bytes()
            except (OSError, EOFError) as error:
                self._end()
                raise EOFError from error
        return None if answer == _REJECTED else answer.decode("utf-8", "surrogatepass")

    def _started(self) -> Connection:
        if self._connection and self._process and self._process.poll() is None:
            return self._connection
        self._end()
        here, there = socketpair()
        with there:
            self._process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-m", __name__, str(there.fileno())],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # An error's text may quote the chat.
                stderr=subprocess.DEVNULL,
            )
        self._connection = Connection(here.detach())
        return self._connection

    def _end(self) -> None:
        if self._connection:
            self._connection.close()
        if self._process:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None


_PROCESS = _Process()
atexit.register(_PROCESS.stop)
os.register_at_fork(after_in_child=_PROCESS.leave)
_REJECTED = b"\xff"
"""No text in UTF-8."""


def _serve(connection: Connection) -> None:
    # This part of transformers brings no torch.
    from jinja2 import TemplateError  # noqa: PLC0415
    from transformers.utils.chat_template_utils import render_jinja_template  # noqa: PLC0415

    errors = (TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while True:
        try:
            asked = json.loads(connection.recv_bytes())
        except EOFError:
            return  # The engine has ended.
        # The system ends the process, whatever it is doing.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            [text], _ = render_jinja_template(**asked)
            answer = text.encode("utf-8", "surrogatepass")
        except MemoryError:
            return
        except (*errors, ValueError):
            answer = _REJECTED
        signal.setitimer(signal.ITIMER_PROF, 0)
        if len(answer) > _LARGEST:
            return
        connection.send_bytes(answer)


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches all of its processes; the engine ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["USE_TORCH"] = "0"
    _serve(Connection(int(sys.argv[1])))
