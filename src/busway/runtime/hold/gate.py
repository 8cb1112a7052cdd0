"""The gate in front of a destination: its breaker, shared by every lane that delivers to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from busway.clock import Clock
from busway.concurrency import Concurrency, concurrency
from busway.delivery.backoff import Backoff
from busway.delivery.breaker import Breaker
from busway.delivery.treat import failures, treated
from busway.delivery.trip import Tally, Trip
from busway.exception_text import exception_line
from busway.outcome import (
    DELIVERED,
    HELD,
    UNTRIED,
    Delivered,
    Down,
    Gone,
    Outcome,
    Rejected,
    Retry,
)
from busway.ports import Destination, KeepsPositions, Load, Sink, TakesPermits
from busway.redact import Redactor
from busway.runtime.hold.halves import Halves
from busway.runtime.hold.permit import Slots
from busway.runtime.hold.suspect import Suspects
from busway.runtime.signal import Signal
from busway.secret import secrets_of

T = TypeVar("T")
USUAL_POLICY = Backoff()
USUAL_TRIP = Trip()


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
        self,
        opened: Opened,
        clock: Clock,
        on_change: Callable[[Gate], None] | None = None,
        trip: Trip = USUAL_TRIP,
    ) -> None:
        self.opened = opened
        self.redact = Redactor(secrets_of(opened.sink))
        """Takes the secrets of its declaration out of a text."""
        self.breaker = Breaker(trip=trip)
        self._tally = Tally(trip)
        self.suspects = Suspects()
        self._halves = Halves(divisible=not opened.keeps_positions)
        self.since = clock.now()
        """When it was closed, or left being so."""
        self.landed_at: datetime | None = None
        """When something landed last."""
        self.slots = Slots(opened.concurrency, clock)
        self._takes_permits = opened.concurrency is not None
        self._resumed = 0
        """How often: what set out before says nothing of a destination that was mended since."""
        self._clock = clock
        self._on_change = on_change
        self._changed = Signal(clock)

    @property
    def closed(self) -> bool:
        """Whether the destination takes writes, as far as is known."""
        return self.breaker.state == "closed"

    def resume(self) -> None:
        """Go and see at once, also where the destination asked never to be called again (410)."""
        self._resumed += 1
        self._set(self.breaker.resumed())

    def remember_gone(self, reason: str, since: datetime) -> None:
        """Begin as it was left: the destination asked never to be called again."""
        self._set(self.breaker.on_gone(reason))
        self.since = since

    @property
    def probe_at(self) -> datetime | None:
        """When the next probe goes, while it is open."""
        if self.breaker.state != "open":
            return None
        left_s = self.breaker.until - self._clock.monotonic()
        return self._clock.now() + timedelta(seconds=max(left_s, 0.0))

    async def ready(self) -> bool:
        """Return when a write may go; true when it is the probe, which must be reported."""
        while True:
            await self.due()
            probing = self.enter()
            if probing is not None:
                return probing

    async def due(self) -> None:
        """Return when a write may go, be it as the probe, if nobody else is quicker."""
        while (wait_s := self.breaker.wait_s(self._clock.monotonic())) != 0.0:
            await self._changed.within(wait_s)

    def enter(self) -> bool | None:
        """Say if a write may go now: true as the probe, which must be reported; ``None``: no."""
        if self.breaker.state == "closed":
            return False
        if self.breaker.wait_s(self._clock.monotonic()) != 0.0:
            return None
        self._set(self.breaker.probe())
        return True

    async def write(self, load: Load, policy: Backoff = USUAL_POLICY) -> Sequence[Outcome]:
        """Hand a load to the destination, learn from what it answers, and return that.

        The ``policy`` of the flow says how answers are treated. An answer to a load without items
        says that it could not be remembered.
        """
        probing, resumed = self.breaker.state == "half-open", self._resumed
        try:
            turn = self.suspects.set_out()
            outcomes = treated(policy, await self._halves.written(self._written, load))
            if probing and self.breaker.failing:
                outcomes = _still_failing(outcomes)
            outcomes = self.suspects.judged(turn, load, outcomes)
        except BaseException:
            self._lift_probe("the probe was cut off")
            raise
        outcomes = discreet(outcomes, self.redact)
        self._count(load, outcomes)
        self._learn(outcomes, probing=probing, resumed=resumed)
        return outcomes

    async def ask(self, answer: Awaitable[T | Down]) -> T | Down:
        """Learn from what a destination answers to a question, as to a load, and return it."""
        found: T | Down
        probing, resumed = self.breaker.state == "half-open", self._resumed
        try:
            found = await answer
        except BaseException as error:
            if not isinstance(error, Exception):
                self._lift_probe("the probe was cut off")
                raise
            found = Down(exception_line(error))
        if isinstance(found, Down):
            found = replace(found, reason=self.redact(found.reason))
        told = [found if isinstance(found, Down) else DELIVERED]
        self._learn(told, probing=probing, resumed=resumed)
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

    def _count(self, load: Load, outcomes: Sequence[Outcome]) -> None:
        """Count first attempts; that an event fails again tells nothing of the destination."""
        landed = len(outcomes) if outcomes.count(DELIVERED) == len(outcomes) else 0
        failed = 0
        if not landed:
            landed = sum(isinstance(one, Delivered | Rejected) for one in outcomes)
            failed = len(failures(outcomes)) if load.start is not None else 0
        if landed:
            self.landed_at = self._clock.now()
        if landed or failed:
            self._tally = self._tally.counted(self._clock.monotonic(), landed, failed)

    def _learn(self, outcomes: Sequence[Outcome], *, probing: bool, resumed: int) -> None:
        found, now = self.breaker, self._clock.monotonic()
        if resumed != self._resumed and not _takes(outcomes):
            if probing:
                self.pass_up()
            return
        if outcomes and outcomes.count(UNTRIED) == len(outcomes):
            self.pass_up()
            return
        if outcomes.count(DELIVERED) < len(outcomes):
            gone = next((one for one in outcomes if isinstance(one, Gone)), None)
            down = next((one for one in outcomes if isinstance(one, Down)), None)
            if gone is not None:
                self._set(found.on_gone(gone.reason))
                return
            if down is not None:
                self._set(found.on_down(now, down.reason, down.after_s))
                return
        if probing or not found.failing:
            self._answered(found, outcomes)

    def _answered(self, found: Breaker, outcomes: Sequence[Outcome]) -> None:
        """Learn from a load that was answered, event by event."""
        if found.state == "half-open" and found.failing and outcomes and not _takes(outcomes):
            self.pass_up()  # it is about that event, so that another one has to show
            return
        if found.state != "closed":
            self._tally = Tally(found.trip)
        elif self._tally.trips:
            tally, last = self._tally, failures(outcomes)[-1:]
            why = f", the last with {last[0].error}: {last[0].reason}" if last else ""
            reason = f"{tally.failed} of {tally.landed + tally.failed} attempts failed{why}"
            self._set(found.on_failing(self._clock.monotonic(), reason))
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
        if changed and ("closed" in (breaker.state, self.breaker.state) or breaker.state == "gone"):
            self.since = self._clock.now()
        self.breaker = breaker
        self._changed.give()
        if changed and self._on_change is not None:
            self._on_change(self)


def discreet(outcomes: Sequence[Outcome], redact: Callable[[str], str]) -> Sequence[Outcome]:
    """Return what a destination answered without secrets: the one exit for its texts."""
    if outcomes.count(DELIVERED) == len(outcomes):
        return outcomes
    told: dict[Outcome, Outcome] = {}
    for one in outcomes:
        if isinstance(one, Retry | Rejected | Down | Gone) and one not in told:
            told[one] = replace(one, error=redact(one.error), reason=redact(one.reason))
    return [told.get(one, one) for one in outcomes]


def _still_failing(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return a probe's answer: where nothing landed, no attempt is used up by that."""
    if _takes(outcomes):
        return outcomes
    return [
        Down(f"{one.error}: {one.reason}", one.after_s, reachable=True, error=one.error)
        if isinstance(one, Retry) and one.error != HELD.error
        else one
        for one in outcomes
    ]


def _takes(outcomes: Sequence[Outcome]) -> bool:
    """Say whether any of the answers is one of a destination that does its work."""
    return any(isinstance(one, Delivered | Rejected) for one in outcomes)
