"""Loads as a lane hands them to a sink, and permits and a bus that a test can look into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from busway.event import Event
from busway.ports import Load, LoadItem, SinkLane

LOG = "5d1f"
"""The identity of the log that the loads come from."""


def load_item(offset: int, *results: object, key: str | None = None) -> LoadItem:
    """Return the item of an event with these results."""
    event = Event(
        type="order.created", source="/shop", id=f"e{offset}", **_present(partitionkey=key)
    )
    return LoadItem(offset, event, results, "orders")


def first_load(
    items: Sequence[LoadItem], *, partition: int = 0, failed_offsets: Sequence[int] = ()
) -> Load:
    """Return a load of fresh events, from its first offset to its last one."""
    offsets = [*(item.offset for item in items), *failed_offsets]
    lane = SinkLane(LOG, "orders", partition)
    return Load(lane, items, min(offsets), max(offsets) + 1, failed_offsets)


def retry_load(items: Sequence[LoadItem], *, partition: int = 0) -> Load:
    """Return a load of events that failed before."""
    return Load(SinkLane(LOG, "orders", partition), items)


def under_lease(load: Load, fencing_token: int) -> Load:
    """Return the load as the holder of a lease writes it."""
    return replace(load, fencing_token=fencing_token)


class CountedPermits:
    """Grants so many permits and no more; counts those that were not given back."""

    def __init__(self, grants: int) -> None:
        self._grants = grants
        self.held = 0

    async def acquire(self) -> bool:
        if not self._grants:
            return False
        self._grants -= 1
        self.held += 1
        return True

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        self.held -= 1


class RecordingBus:
    """A context for sinks that keeps what is published; ``error`` is raised instead, if set."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None

    async def publish(self, events: Sequence[Event]) -> None:
        if self.error is not None:
            raise self.error
        known = {(event.source, event.id) for event in self.events}
        self.events += [event for event in events if (event.source, event.id) not in known]


def _present(**attributes: Any) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
