"""The way into the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec


class AppendEnvelope(Protocol):
    """What the bus asks of an event's envelope: who it is, and what order is kept by."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def partitionkey(self) -> str | None: ...

    @property
    def subject(self) -> str | None: ...


class AppendReceipt(msgspec.Struct, frozen=True):
    """What became of events given to the bus: stored now, or known already and dropped."""

    accepted: int
    duplicates: int


class Intake(Protocol):
    """The way into the bus. Called by sources, many times at once, on the event loop's thread."""

    def append(
        self, raws: Sequence[bytes], envelopes: Sequence[AppendEnvelope]
    ) -> asyncio.Future[AppendReceipt]:
        """Store events that are known to be valid, all or none; resolves once they are durable.

        ``raws`` are the bytes of each event's JSON format, ``envelopes`` their attributes in the
        same order; both belong to the bus from then on. Returns at once, a future so that no task
        is needed for a request. Raises, through the future, :class:`StoreFull` when the disk or
        the limit is full and another :class:`StoreError` when the store cannot be used now.
        """
        ...
