"""The valve of a flow: whether its lanes may take work now. Loops ask it, the steering turns it."""

from __future__ import annotations

import asyncio

from busway.delivery.hold import Stance
from busway.ports import Permits

_OPEN = Stance()


class Valve:
    """Open until it is turned; asking it costs nothing."""

    def __init__(self) -> None:
        self._stance = _OPEN
        self._turned = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether anything may go to the destination."""
        return self._stance.hold is None

    def goal(self, partition: int) -> int | None:
        """Return how far the lane of a partition may go, ``None`` for as far as there is work."""
        goals = self._stance.goals
        return None if goals is None else goals[partition]

    def takes(self, partition: int, cursor: int) -> bool:
        """Say whether the lane of a partition may take work from its cursor on."""
        goal = self.goal(partition)
        return self.open and (goal is None or cursor < goal)

    def turn(self, stance: Stance) -> None:
        """Obey another stance from now on."""
        if stance != self._stance:
            self._stance = stance
            self._turned.set()
            self._turned = asyncio.Event()

    async def ready(self, partition: int, cursor: int) -> None:
        """Return when the lane of a partition may take work from its cursor on."""
        while not self.takes(partition, cursor):
            await self._turned.wait()

    async def opened(self) -> None:
        """Return when something may go to the destination."""
        while not self.open:
            await self._turned.wait()


class Guarded:
    """Permits that are given only while the valve is open: a load stops between two requests."""

    def __init__(self, permits: Permits, valve: Valve) -> None:
        self._permits = permits
        self._valve = valve

    async def acquire(self) -> bool:
        """Return whether one more request may go."""
        if not (self._valve.open and await self._permits.acquire()):
            return False
        if not self._valve.open:
            self._permits.release()
            return False
        return True

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one back."""
        self._permits.release(took_s, refused=refused)
