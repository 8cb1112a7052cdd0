"""The intake: how sources append events to the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec


class AppendEnvelope(Protocol):
    """The attributes of an event that the bus reads: its identity and its ordering key."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def partitionkey(self) -> str | None: ...

    @property
    def subject(self) -> str | None: ...


class AppendReceipt(msgspec.Struct, frozen=True):
    """The result of an append: events stored, and duplicates dropped."""

    accepted: int
    duplicates: int


class Intake(Protocol):
    """Appends events to the bus. Sources call it concurrently on the event loop's thread."""

    def append(
        self, raws: Sequence[bytes], envelopes: Sequence[AppendEnvelope]
    ) -> asyncio.Future[AppendReceipt]:
        """Store valid events, all or none; the future resolves once they are durable.

        ``raws`` holds the JSON format of each event, ``envelopes`` the attributes in the same
        order; the bus owns both after the call. Returns immediately, and returns a future so that
        a request needs no task. The future raises :class:`StoreFull` if the disk or the configured
        limit is full, and another :class:`StoreError` if the store is unavailable.
        """
        ...
