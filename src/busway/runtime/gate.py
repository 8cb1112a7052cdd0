"""The gate in front of a destination: its breaker, shared by every lane that delivers to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from busway.clock import Clock
from busway.delivery.breaker import Breaker
from busway.outcome import DELIVERED, Down, Gone, Outcome
from busway.ports import Destination, KeepsPositions, Load, Sink
from busway.runtime.suspect import Suspects


class Opened(msgspec.Struct, frozen=True):
    """A sink that has been opened."""

    sink: Sink
    destination: Destination

    @property
    def keeps_positions(self) -> bool:
        return isinstance(self.sink, KeepsPositions) and self.sink.keeps_positions


class Gate:
    """Lets writes through while the destination takes them; one probe at a time when it did not."""

    def __init__(
        self, opened: Opened, clock: Clock, on_change: Callable[[Gate], None] | None = None
    ) -> None:
        self.opened = opened
        self.breaker = Breaker()
        self.suspects = Suspects()
        self._clock = clock
        self._on_change = on_change
        self._changed = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the destination takes writes, as far as is known."""
        return self.breaker.state == "closed"

    async def ready(self) -> bool:
        """Return when a write may go; true when it is the probe, which must be reported."""
        while True:
            wait_s = self.breaker.wait_s(self._clock.monotonic())
            if self.breaker.state == "closed":
                return False
            if wait_s == 0.0:
                self._set(self.breaker.probe())
                return True
            await self._change_within(wait_s)

    async def _change_within(self, wait_s: float | None) -> None:
        """Return when the breaker changed, or its wait is over."""
        self._changed.clear()
        waiting = [asyncio.ensure_future(self._changed.wait())]
        if wait_s is not None:
            waiting.append(asyncio.ensure_future(self._sleep(wait_s)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _sleep(self, seconds: float) -> Literal[True]:
        await self._clock.sleep(seconds)
        return True

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Hand a load to the destination, learn from what it answers, and return that.

        An answer to a load without items says that it could not be remembered.
        """
        try:
            turn = self.suspects.set_out()
            outcomes = _checked(load, await self.opened.destination.write(load))
            outcomes = self.suspects.judged(turn, load, outcomes)
        except asyncio.CancelledError:
            self._lift_probe("the probe was cut off")
            raise
        except Exception as error:  # a bug in a sink must not lose an event
            outcomes = [Down(f"{type(error).__name__}: {error}")] * (len(load.items) or 1)
        self._learn(outcomes)
        return outcomes

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        found = self.breaker
        if outcomes.count(DELIVERED) == len(outcomes):
            self._set(found.on_success())
            return
        now = self._clock.monotonic()
        for outcome in outcomes:
            if isinstance(outcome, Gone):
                self._set(found.on_gone(outcome.reason))
                return
            if isinstance(outcome, Down):
                self._set(found.on_down(now, outcome.reason, outcome.after_s))
                return
        self._set(found.on_success())

    def _lift_probe(self, reason: str) -> None:
        if self.breaker.state == "half-open":
            self._set(self.breaker.on_down(self._clock.monotonic(), self.breaker.reason or reason))

    def _set(self, breaker: Breaker) -> None:
        changed = breaker.state != self.breaker.state
        self.breaker = breaker
        self._changed.set()
        if changed and self._on_change is not None:
            self._on_change(self)


def _checked(load: Load, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    if load.items and len(outcomes) != len(load.items):
        raise ValueError(f"the sink gave {len(outcomes)} outcomes for {len(load.items)} items")
    return outcomes
