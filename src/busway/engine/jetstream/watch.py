"""Learn that partitions have grown: what the stream republishes is a hint, looking is the truth."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from nats.aio.msg import Msg

from busway.engine.jetstream.chart import Chart
from busway.engine.jetstream.check import check_kept
from busway.engine.jetstream.fetch import Fetch
from busway.engine.jetstream.message import Spot
from busway.engine.jetstream.stream import State, Stream
from busway.errors import StoreError

LOOK_EVERY_S = 1.0


def republished(name: str) -> dict[str, Any]:
    """Return how the servers are to republish the headers of what is stored."""
    return {"src": f"{name}.*", "dest": f"{name}-stored.{{{{wildcard(1)}}}}", "headers_only": True}


class Watch:
    """Moves a chart on: hears of what is stored, and looks every second from the first wait on."""

    def __init__(self, stream: Stream, identity: str, fetch: Fetch, chart: Chart) -> None:
        self._stream = stream
        self._identity = identity
        self._fetch = fetch
        self._chart = chart
        self._partitions = chart.partitions
        self._upto = 0
        """The sequence up to which everything was taken in."""
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def begin(self) -> None:
        """Hear of what is stored from now on, and look once."""
        self._stream.link.on_return = self._woken.set
        await self._stream.link.hear(f"{self._stream.name}-stored.*", self._heard)
        await self.look()

    async def look(self) -> State:
        """Take in where the partitions end now; return the state of the stream.

        Raises :class:`StoreError` where it is no more the stream that was opened, or not as it was.
        """
        info = await self._stream.info()
        check_kept(self._stream.link.place, info, self._identity)
        state = info.state
        if state.last_seq > self._upto:
            await self._fetch.lasts(self._partitions, state.last_seq)
            self._upto = max(self._upto, state.last_seq)
        return state

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the end is beyond ``offset``, or it was closed."""
        if self._closed or self._chart.tail.end(partition) > offset:
            return
        if self._task is None:
            self._task = asyncio.create_task(self._keep_looking(), name="busway-look")
        await self._chart.tail.wait(partition, offset)

    async def close(self) -> None:
        self._closed = True
        while self._task is not None and not self._task.done():
            self._task.cancel()  # the driver may swallow a cancellation
            await asyncio.wait((self._task,), timeout=1.0)
        self._chart.tail.release()

    async def _keep_looking(self) -> None:
        while not self._closed:
            self._woken.clear()
            with contextlib.suppress(StoreError):
                await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()

    async def _heard(self, message: Msg) -> None:
        headers = message.headers or {}
        with contextlib.suppress(StoreError, LookupError, ValueError):
            partition = int(headers["Nats-Subject"].rpartition(".")[2])
            spot = Spot.of(headers, self._stream.name)
            self._chart.note(partition, spot)
            if spot.seq == self._upto + 1:
                self._upto = spot.seq
