"""Read messages from whichever server has a copy, and find the one that is looked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from nats.aio.msg import Msg

from busway.engine.jetstream.chart import Chart
from busway.engine.jetstream.message import CODING, Message, Spot
from busway.engine.jetstream.stream import Stream

READ_MESSAGES = 1_000
_GET = "$JS.API.DIRECT.GET"
_PENDING = "Nats-Num-Pending"
_SUBJECT = "Nats-Subject"


class Fetch:
    """Reads by direct gets, which any replica answers.

    A replica may lag: it then has less, but no gaps. Where something must be there and is not, the
    leader is asked.
    """

    def __init__(self, stream: Stream, chart: Chart) -> None:
        self._stream = stream
        self._chart = chart
        self._place = str(stream.link.place)
        self._shrunk = 1.0
        """How many bytes the servers keep for one of an event, as it was seen last."""

    async def several(self, partition: int, seq: int, max_bytes: int) -> list[Message]:
        """Return messages from a sequence on: one, and more until they fill ``max_bytes``."""
        found: list[Message] = []
        left = max(max_bytes, 1)
        while len(found) < READ_MESSAGES:
            got, pending = await self._some(partition, seq, READ_MESSAGES - len(found), left)
            found += got
            left -= sum(message.spot.size for message in got)
            if not got or not pending or left <= 0:
                break
            seq = found[-1].spot.seq + 1
        while not found or not found[-1].spot.count:
            # the replica that answered may not have come as far
            message = await self._stream.next(partition, found[-1].spot.seq + 1 if found else seq)
            if message is None:
                break
            found.append(message)
        for message in found:
            self._chart.note(partition, message.spot)
        return found

    async def first(self, partition: int) -> Spot | None:
        """Return the first kept batch of a partition, as the leader has it."""
        message = await self._stream.next(partition, 1)
        return None if message is None else message.spot

    async def holding(self, partition: int, offset: int) -> int:
        """Return a sequence at or after which the batch with an offset is the partition's next.

        For an offset that was trimmed it is that of the first kept batch.
        """
        lower, upper = self._chart.around(partition, offset)
        if lower == upper:
            return lower
        found = await self.search(partition, lambda spot: spot.end > offset, lower, upper)
        return upper if found is None else found.seq

    async def search(
        self, partition: int, holds: Callable[[Spot], bool], lower: int = 1, upper: int = 0
    ) -> Spot | None:
        """Return the first batch of a partition at which ``holds`` begins to hold, by halving."""
        if not upper:
            last = await self._stream.last(partition)
            if last is None:
                return None
            self._chart.note(partition, last.spot)
            upper = last.spot.seq
        upper += 1
        best: Spot | None = None
        while lower < upper:
            middle = (lower + upper) // 2
            message = await self._next(partition, middle, upper)
            if message is None:
                upper = middle
            elif holds(message.spot):
                best, upper = message.spot, middle
            else:
                lower = message.spot.seq + 1
        return best

    async def lasts(self, partitions: int, upto: int) -> None:
        """Take in the last batch of each partition, once the stream has come to ``upto``."""
        wanted = {"multi_last": [self._stream.subject(n) for n in range(partitions)]}
        found, pending = await self._direct(wanted)
        spots = {_partition(message): self._read(message).spot for message in found}
        if pending or max((spot.seq for spot in spots.values()), default=0) < upto:
            asked = [await self._stream.last(partition) for partition in range(partitions)]
            spots = {n: message.spot for n, message in enumerate(asked) if message is not None}
        for partition, spot in spots.items():
            self._chart.note(partition, spot)

    async def _next(self, partition: int, seq: int, before: int) -> Message | None:
        """Return the first message from a sequence on, unless it is not before another one."""
        found, _ = await self._some(partition, seq, 1, 0)
        message = found[0] if found else await self._stream.next(partition, seq)
        return message if message is not None and message.spot.seq < before else None

    async def _some(
        self, partition: int, seq: int, count: int, max_bytes: int
    ) -> tuple[list[Message], int]:
        wanted = {
            "seq": seq,
            "next_by_subj": self._stream.subject(partition),
            "batch": count,
            "max_bytes": max(int(max_bytes * self._shrunk), 1),
        }
        answers, pending = await self._direct(wanted)
        found = [self._read(message) for message in answers]
        if found:
            stored = sum(len(message.body) for message in found)
            self._shrunk = min(stored / max(sum(one.spot.size for one in found), 1), 1.0)
        return found, pending

    def _read(self, message: Msg) -> Message:
        headers = message.headers or {}
        return Message(Spot.of(headers, self._place), message.data, headers.get(CODING, ""))

    async def _direct(self, wanted: dict[str, Any]) -> tuple[list[Msg], int]:
        """Return the messages, and how many more there are."""
        body = msgspec.json.encode(wanted)
        subject = f"{_GET}.{self._stream.name}"
        *found, end = await self._stream.link.inquire(subject, body, many=True)
        return found, int((end.headers or {}).get(_PENDING, "0"))


def _partition(message: Msg) -> int:
    return int((message.headers or {})[_SUBJECT].rpartition(".")[2])
