"""Learn that partitions have grown: republished headers are hints, polling tells the truth."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from nats.aio.msg import Msg

from busway.engine.jetstream.server_check import check_unchanged
from busway.engine.jetstream.stored_message import BatchPosition
from busway.engine.jetstream.stream import LogStream, StreamState
from busway.engine.jetstream.stream_index import StreamIndex
from busway.engine.jetstream.stream_reader import StreamReader
from busway.errors import StoreError

POLL_INTERVAL_S = 1.0


def republish_config(name: str) -> dict[str, Any]:
    """Return the configuration that has the servers republish the headers of stored messages."""
    return {"src": f"{name}.*", "dest": f"{name}-stored.{{{{wildcard(1)}}}}", "headers_only": True}


class JetStreamLogWatcher:
    """Updates the index: listens to republished headers, and polls from the first wait on."""

    def __init__(
        self, stream: LogStream, identity: str, reader: StreamReader, index: StreamIndex
    ) -> None:
        self._stream = stream
        self._identity = identity
        self._reader = reader
        self._index = index
        self._partitions = index.partitions
        self._seen_seq = 0
        """The sequence up to which the index is complete."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Subscribe to republished headers, and poll once."""
        self._stream.connection.on_reconnect = self._wake.set
        await self._stream.connection.subscribe(
            f"{self._stream.name}-stored.*", self._handle_stored
        )
        await self.refresh()

    async def refresh(self) -> StreamState:
        """Update the ends of the partitions; return the state of the stream.

        Raises :class:`StoreError` if it is another stream than the opened one, or was reconfigured.
        """
        info = await self._stream.info()
        check_unchanged(self._stream.connection.address, info, self._identity)
        state = info.state
        if state.last_seq > self._seen_seq:
            await self._reader.refresh_ends(self._partitions, state.last_seq)
            self._seen_seq = max(self._seen_seq, state.last_seq)
        return state

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the end is beyond ``offset``, or the watcher is closed."""
        if self._closed or self._index.ends.end(partition) > offset:
            return
        if self._task is None:
            self._task = asyncio.create_task(self._poll(), name="busway-poll-log")
        await self._index.ends.wait(partition, offset)

    async def close(self) -> None:
        self._closed = True
        while self._task is not None and not self._task.done():
            self._task.cancel()  # the client may swallow a cancellation
            await asyncio.wait((self._task,), timeout=1.0)
        self._index.ends.wake_all()

    async def _poll(self) -> None:
        while not self._closed:
            self._wake.clear()
            with contextlib.suppress(StoreError):
                await self.refresh()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_INTERVAL_S):
                    await self._wake.wait()

    async def _handle_stored(self, message: Msg) -> None:
        headers = message.headers or {}
        with contextlib.suppress(StoreError, LookupError, ValueError):
            partition = int(headers["Nats-Subject"].rpartition(".")[2])
            position = BatchPosition.from_headers(headers, self._stream.name)
            self._index.record(partition, position)
            if position.seq == self._seen_seq + 1:
                self._seen_seq = position.seq
