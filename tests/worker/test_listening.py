"""The socket that the endpoint listens on."""

from __future__ import annotations

import asyncio
import socket

from flyte_build.worker.endpoint.place import listening


def test_answers_leave_at_once() -> None:
    """Nagle's algorithm and a client's delayed acknowledgement cost 40 ms a call; asyncio turns it off for TCP only."""

    async def connected(listener: socket.socket) -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs = writer.get_extra_info("socket")
            accepted.set_result(theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(serve, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                return await accepted
            finally:
                writer.close()
                await writer.wait_closed()

    with listening("127.0.0.1", 0) as listener:
        assert asyncio.run(connected(listener)) == 1
