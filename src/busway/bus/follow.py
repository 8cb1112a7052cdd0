"""Follow: lanes read batches of the log; what each rule wants of a batch is found once for all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from busway.errors import EventError
from busway.ports import Batch, Log

_KEPT = 64


class Matcher(Protocol):
    """Tells which rules want an event, by number."""

    def match(self, raw: bytes) -> Sequence[int]: ...


class Matched(msgspec.Struct, frozen=True):
    """A batch, and for each rule's number the indexes of the events that it wants.

    ``unreadable`` are the indexes of events that cannot be decoded, with the reason.
    """

    batch: Batch
    wanted: Mapping[int, Sequence[int]]
    unreadable: Mapping[int, str]


class Follow:
    """Reads the log for many lanes of one process; remembers the batches matched last."""

    def __init__(self, log: Log, matcher: Matcher) -> None:
        self._log = log
        self._matcher = matcher
        self._kept: OrderedDict[tuple[int, int], Matched] = OrderedDict()

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Matched]:
        """Return matched batches from the one that holds ``offset``, none at the end of the log."""
        batches = await self._log.read(partition, offset, max_bytes)
        return [self._matched(batch) for batch in batches]

    async def wait(self, partition: int, offset: int) -> None:
        """Return once there may be something at ``offset``."""
        await self._log.wait(partition, offset)

    def _matched(self, batch: Batch) -> Matched:
        place = (batch.partition, batch.offset)
        found = self._kept.get(place)
        if found is None or len(found.batch.events) != len(batch.events):
            found = self._kept[place] = match(self._matcher, batch)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(place)
        return found


def match(matcher: Matcher, batch: Batch) -> Matched:
    """Return which rules want which events of a batch."""
    wanted: dict[int, list[int]] = {}
    unreadable: dict[int, str] = {}
    for index, raw in enumerate(batch.events):
        try:
            for number in matcher.match(raw):
                wanted.setdefault(number, []).append(index)
        except EventError as error:
            unreadable[index] = str(error)
    return Matched(batch, wanted, unreadable)
