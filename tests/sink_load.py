"""Loads as a lane would hand them to a sink, and a bus that keeps what is published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from busway.event import Event
from busway.ports import Load, LoadItem, SinkLane

LOG = "5d1f"
OF_EVERY_TYPE: dict[str, object] = {
    "id": 1,
    "flag": True,
    "real": 1.5,
    "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "day": date(2026, 1, 2),
    "exact": Decimal("12345678901234567890.10"),
    "raw": b"\0\1",
    "uuid": UUID(int=1),
    "tags": ["a", {"b": Decimal("1.5")}],
    "none": None,
}
"""A row with a value of each type that a step may return."""


class KeptEvents:
    """What a sink may use, as far as a test needs it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None

    async def publish(self, events: Sequence[Event]) -> None:
        if self.error:
            raise self.error
        self.events += events


def an_item(
    offset: int, *results: object, event: Event | None = None, flow: str = "orders"
) -> LoadItem:
    cause = event or Event(type="order.created", source="/shop", id=f"e{offset}")
    return LoadItem(offset, cause, results, flow)


def fresh(
    items: Sequence[LoadItem],
    *,
    partition: int = 0,
    holes: Sequence[int] = (),
    end: int | None = None,
) -> Load:
    """A load of fresh events, from its first item or hole to its last one."""
    offsets = [item.offset for item in items] + list(holes)
    last = max(offsets) + 1 if end is None else end
    return Load(SinkLane(LOG, "orders", partition), items, min(offsets), last, holes)


def again(items: Sequence[LoadItem], *, partition: int = 0) -> Load:
    """A load of a retry."""
    return Load(SinkLane(LOG, "orders", partition), items)


def rows(first: int, last: int) -> list[LoadItem]:
    """Items with one order each."""
    return [
        an_item(n, {"id": n, "name": f"customer {n}", "total": n / 4}) for n in range(first, last)
    ]
