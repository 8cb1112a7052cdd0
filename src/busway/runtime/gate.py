"""The gate in front of a destination: its breaker, shared by every lane that delivers to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from busway.clock import Clock
from busway.concurrency import Concurrency, concurrency
from busway.delivery.breaker import Breaker
from busway.outcome import DELIVERED, UNTRIED, Down, Gone, Outcome
from busway.ports import Destination, KeepsPositions, Load, Sink, TakesPermits
from busway.runtime.permit import Slots
from busway.runtime.signal import Signal
from busway.runtime.suspect import Suspects

T = TypeVar("T")


class Opened(msgspec.Struct, frozen=True):
    """A sink that has been opened."""

    sink: Sink
    destination: Destination

    @property
    def keeps_positions(self) -> bool:
        return isinstance(self.sink, KeepsPositions) and self.sink.keeps_positions

    @property
    def concurrency(self) -> Concurrency | None:
        """How many requests it takes at a time; ``None`` where it does not take permits."""
        if isinstance(self.sink, TakesPermits) and self.sink.takes_permits:
            return concurrency(self.sink.concurrency)
        return None


class Gate:
    """Lets writes through while the destination takes them; one probe at a time when it did not.

    ``slots`` are its permits; an operator may ``change`` how many there are.
    """

    def __init__(
        self, opened: Opened, clock: Clock, on_change: Callable[[Gate], None] | None = None
    ) -> None:
        self.opened = opened
        self.breaker = Breaker()
        self.suspects = Suspects()
        self.slots = Slots(opened.concurrency, clock)
        self._takes_permits = opened.concurrency is not None
        self._clock = clock
        self._on_change = on_change
        self._changed = Signal(clock)

    @property
    def closed(self) -> bool:
        """Whether the destination takes writes, as far as is known."""
        return self.breaker.state == "closed"

    def resume(self) -> None:
        """Believe that the destination takes writes again, also where it asked for none (410)."""
        self._set(Breaker())

    async def ready(self) -> bool:
        """Return when a write may go; true when it is the probe, which must be reported."""
        while True:
            wait_s = self.breaker.wait_s(self._clock.monotonic())
            if self.breaker.state == "closed":
                return False
            if wait_s == 0.0:
                self._set(self.breaker.probe())
                return True
            await self._changed.within(wait_s)

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Hand a load to the destination, learn from what it answers, and return that.

        An answer to a load without items says that it could not be remembered.
        """
        try:
            turn = self.suspects.set_out()
            outcomes = _checked(load, await self._written(load))
            outcomes = self.suspects.judged(turn, load, outcomes)
        except BaseException as error:
            if not isinstance(error, Exception):
                self._lift_probe("the probe was cut off")
                raise
            # a bug in a sink must not lose an event
            outcomes = [Down(f"{type(error).__name__}: {error}")] * (len(load.items) or 1)
        self._learn(outcomes)
        return outcomes

    async def ask(self, answer: Awaitable[T | Down]) -> T | Down:
        """Learn from what a destination answers to a question, as to a load, and return it."""
        found: T | Down
        try:
            found = await answer
        except BaseException as error:
            if not isinstance(error, Exception):
                self._lift_probe("the probe was cut off")
                raise
            found = Down(f"{type(error).__name__}: {error}")
        self._learn([found if isinstance(found, Down) else DELIVERED])
        return found

    async def _written(self, load: Load) -> Sequence[Outcome]:
        """Write with a permit held, where the sink does not take one for each request."""
        if self._takes_permits or load.permits is None:
            return await self.opened.destination.write(load)
        if not await load.permits.acquire():
            return [UNTRIED] * (len(load.items) or 1)
        began, refused, answered = self._clock.monotonic(), False, False
        try:
            outcomes = await self.opened.destination.write(load)
            refused, answered = any(isinstance(one, Down) for one in outcomes), True
            return outcomes
        finally:
            took_s = self._clock.monotonic() - began if answered else None
            load.permits.release(took_s, refused=refused)

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        found = self.breaker
        if outcomes.count(DELIVERED) == len(outcomes):
            self._set(found.on_success())
            return
        if outcomes.count(UNTRIED) == len(outcomes):
            self.pass_up()
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

    def pass_up(self) -> None:
        """Let another be the probe: who was to be it did not go."""
        if self.breaker.state == "half-open":
            self._set(self.breaker.unprobed())

    def _lift_probe(self, reason: str) -> None:
        if self.breaker.state == "half-open":
            self._set(self.breaker.on_down(self._clock.monotonic(), self.breaker.reason or reason))

    def _set(self, breaker: Breaker) -> None:
        changed = breaker.state != self.breaker.state
        self.breaker = breaker
        self._changed.give()
        if changed and self._on_change is not None:
            self._on_change(self)


def _checked(load: Load, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    if load.items and len(outcomes) != len(load.items):
        raise ValueError(f"the sink gave {len(outcomes)} outcomes for {len(load.items)} items")
    return outcomes
