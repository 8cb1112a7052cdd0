"""The valve of a flow: whether its lanes may take work now. Loops ask it, the steering turns it."""

from __future__ import annotations

import asyncio

from busway.delivery.operator_control import EffectiveControls
from busway.ports import RequestPermits

_OPEN = EffectiveControls()


class PauseGate:
    """Open until it is turned; asking it costs nothing."""

    def __init__(self) -> None:
        self._controls = _OPEN
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether anything may go to the destination."""
        return self._controls.suspension is None

    def drain_target(self, partition: int) -> int | None:
        """Return how far the lane of a partition may go, ``None`` for as far as there is work."""
        goals = self._controls.drain_targets
        return None if goals is None else goals[partition]

    def accepts(self, partition: int, cursor: int) -> bool:
        """Say whether the lane of a partition may take work from its cursor on."""
        goal = self.drain_target(partition)
        return self.is_open and (goal is None or cursor < goal)

    def update(self, controls: EffectiveControls) -> None:
        """Obey another stance from now on."""
        if controls != self._controls:
            self._controls = controls
            self._changed.set()
            self._changed = asyncio.Event()

    async def wait_accepting(self, partition: int, cursor: int) -> None:
        """Return when the lane of a partition may take work from its cursor on."""
        while not self.accepts(partition, cursor):
            await self._changed.wait()

    async def wait_open(self) -> None:
        """Return when something may go to the destination."""
        while not self.is_open:
            await self._changed.wait()


class PausablePermits:
    """Permits that are given only while the valve is open: a load stops between two requests."""

    def __init__(self, permits: RequestPermits, pause_gate: PauseGate) -> None:
        self._permits = permits
        self._pause_gate = pause_gate

    async def acquire(self) -> bool:
        """Return whether one more request may go."""
        if not (self._pause_gate.is_open and await self._permits.acquire()):
            return False
        if not self._pause_gate.is_open:
            self._permits.release()
            return False
        return True

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one back."""
        self._permits.release(took_s, refused=refused)
