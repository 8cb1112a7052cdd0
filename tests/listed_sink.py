"""A sink without positions that knows what came, and a bus for flows that publish nothing."""

from __future__ import annotations

from collections.abc import Sequence

from busway.outcome import DELIVERED, Outcome
from busway.ports import Load, SinkContext


class Listed:
    """A destination that lists the ids of the events that came, each as often as it did."""

    def __init__(self, name: str = "listed") -> None:
        self.name = name
        self.came: list[str] = []

    async def open(self, supplies: SinkContext) -> Listed:
        return self

    async def write(self, load: Load) -> Sequence[Outcome]:
        self.came += [item.event.id for item in load.items]
        return [DELIVERED] * len(load.items)

    async def close(self) -> None:
        """Nothing is open."""


class NoBus:
    """A bus on which nothing may be published."""

    async def publish(self, events: Sequence[object]) -> None:
        raise AssertionError("nothing is published here")
