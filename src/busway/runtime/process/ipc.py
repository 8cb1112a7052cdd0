"""The wire between a parent and one of its workers: short lines, each way, over a socket pair."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Self, cast

LOG_GREW = b"more"
"""The log has grown: a hint, which is left out while the other side is slow to read."""
RELOAD = b"reload"
"""To a worker: the flows file has changed, and is in order."""
READY = b"ready"
"""From a worker: it works."""
HEARTBEAT = b"alive"
"""From a worker that works, every ``ALIVE_INTERVAL_S``: it is neither stopped nor stuck."""
ALIVE_INTERVAL_S = 1.0
METRICS = b"metrics "
"""From a worker, every ``METRICS_INTERVAL_S``: the rest is its metrics, as a JSON string."""
METRICS_INTERVAL_S = 5.0
FAILED = b"failed "
"""From a worker that cannot start: the rest is why, as a JSON string."""


class IpcChannel(asyncio.Protocol):
    """One end of the wire; ``on_line`` gets the lines of the other end."""

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, end: socket.socket, on_line: Callable[[bytes], None]) -> Self:
        """Use one end of a socket pair, and close it with the wire."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_unix_connection(lambda: cls(on_line), sock=end)
        return wire

    def send(self, line: bytes) -> None:
        """Have a line go; it waits here while the other end does not read."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line + b"\n")

    def send_log_grew(self) -> None:
        """Tell that the log has grown, unless something waits here that tells it as well."""
        if self._transport is not None and not self._transport.get_write_buffer_size():
            self.send(LOG_GREW)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in dict.fromkeys(lines):  # that it has grown twice is told once
            self._on_line(line)
