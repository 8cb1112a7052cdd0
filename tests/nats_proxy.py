"""A way to a server that loses what is sent over it, in either direction, or delivers it late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Passes bytes on between clients and a server, as long as it is told nothing else."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._mute = False
        self._hold = False
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def mute(self) -> None:
        """Lose what the server says from now on."""
        self._mute = True

    def hold(self) -> None:
        """Keep back what the clients say from now on."""
        self._hold = True

    def holds(self, text: bytes) -> bool:
        """Return whether a text is in what was kept back."""
        return text in b"".join(data for _, data in self._held)

    def cut(self) -> None:
        """Break the connections of the clients, new ones work; the server does not notice."""
        for client in self._clients:
            client.transport.abort()
        self._mute = self._hold = False

    async def release(self) -> None:
        """Deliver what was kept back, however late."""
        held, self._held = self._held, []
        for server, data in held:
            server.write(data)
            await server.drain()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
        except BaseException:
            client.transport.abort()
            raise
        self._clients.add(client)
        back = asyncio.create_task(self._back(answers, client))
        try:
            while data := await _some(reader):
                if self._hold:
                    self._held.append((server, data))
                else:
                    server.write(data)
            await asyncio.Future[None]()  # the server keeps its end
        finally:
            self._clients.discard(client)
            back.cancel()
            for writer in (client, server):
                writer.transport.abort()

    async def _back(self, answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await _some(answers):
            if not self._mute and not client.is_closing():
                client.write(data)


async def _some(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(OSError):
        return await reader.read(65536)
    return b""


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
