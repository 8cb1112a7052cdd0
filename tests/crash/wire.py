"""The network between one process and a server: a test cuts it, or has it deliver late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Wire:
    """Carries bytes both ways, as long as it is whole."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self._refusing = False
        self.port = 0

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break all connections, and let no new one through."""
        self._refusing = True
        await self._break()

    def hold(self) -> None:
        """Let nothing through, either way; whoever sends does not notice."""
        self._whole.clear()

    async def heal(self, *, lost: bool = False) -> None:
        """Be whole again; what was held arrives now, or is ``lost`` with its connections."""
        if lost:
            await self._break()
        self._refusing = False
        self._whole.set()

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await self._break()

    async def _break(self) -> None:
        carrying = list(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _carry(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        servers: list[asyncio.StreamWriter] = []
        try:
            if self._refusing:
                return
            await self._whole.wait()
            from_server, server = await asyncio.open_connection("127.0.0.1", self._server_port)
            servers.append(server)
            ways = [self._pass(from_client, server), self._pass(from_server, client)]
            pumps = [asyncio.create_task(way) for way in ways]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the server is away: the client sees that its connection ends
        finally:
            for writer in servers:
                writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """Run a wire to a server on this machine."""
    wire = Wire(port)
    await wire.open()
    try:
        yield wire
    finally:
        await wire.close()
