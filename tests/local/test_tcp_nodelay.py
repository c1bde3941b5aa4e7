"""What makes the engine's answers leave at once."""

import socket

from langchain_finetune.local.addresses import Endpoint


def test_small_parts_leave_at_once():
    with Endpoint("127.0.0.1", 0).bind() as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                # What asyncio looks at before it sets TCP_NODELAY.
                assert accepted.proto == socket.IPPROTO_TCP
