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
from busway.delivery.failure_window import FailureWindow
from busway.delivery.rate_limit import RateLimit
from busway.delivery.treat import failures, treated
from busway.delivery.trip import Trip
from busway.errors import StoreError
from busway.exception_text import exception_line
from busway.outcome import (
    DELIVERED,
    UNTRIED,
    Down,
    Gone,
    Outcome,
    RateLimited,
)
from busway.ports import Destination, KeepsPositions, Load, Reachable, Sink, TakesPermits
from busway.redact import Redactor
from busway.runtime.hold.answer import answers, discreet, is_certain, reached, still_failing, takes
from busway.runtime.hold.halves import Halves
from busway.runtime.hold.permit import Slots
from busway.runtime.hold.suspect import Judged, Suspects
from busway.runtime.signal import Signal
from busway.secret import secrets_of

T = TypeVar("T")
USUAL_POLICY = Backoff()
USUAL_TRIP = Trip()
_ALMOST_S = 0.1
_TOLD_S = 0.9
"""From how long on a wait that a destination asks for by 429 is kept for people to see."""


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
        worker: str = "",
    ) -> None:
        self.worker = worker
        self.decided_at = clock.now()
        """When it was last decided, here or by another worker, whether it takes writes."""
        self.heard = False
        """Whether another worker decided so."""
        self.opened = opened
        self.redact = Redactor(secrets_of(opened.sink))
        """Takes the secrets of its declaration out of a text."""
        self.breaker = Breaker(trip=trip)
        self.window = FailureWindow(trip)
        """What it answered lately, to all flows that deliver to it."""
        self.limited = RateLimit()
        self._pause_until = 0.0
        self._probes = 0
        """How many have failed since it was last found to be down."""
        self.suspects = Suspects()
        self._halves = Halves(divisible=not opened.keeps_positions)
        self.since = clock.now()
        """When it was closed, or left being so."""
        self.reached = False
        """Whether it has answered since the start."""
        self.landed_at: datetime | None = None
        """When something landed last."""
        self.slots = Slots(opened.concurrency, clock, self._is_shut)
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
        limited, self.limited = self.limited_until is not None, self.limited.lifted()
        self._decide(self.breaker.resumed())
        if limited and self._on_change is not None:
            self._on_change(self)

    def adopt(self, breaker: Breaker, since: datetime, at: datetime) -> None:
        """Go by what another worker has decided."""
        if breaker.state == "closed":
            self.window = self.window.reset(self._clock.monotonic())
        self.heard = True
        self._set(breaker)
        self.since, self.decided_at = since, at

    def remember_gone(self, reason: str, since: datetime) -> None:
        """Begin as it was left: the destination asked never to be called again."""
        self._decide(self.breaker.on_gone(reason))
        self.since = since

    @property
    def probe_at(self) -> datetime | None:
        """When the next probe goes, while it is open."""
        if self.breaker.state != "open":
            return None
        left_s = self.breaker.until - self._clock.monotonic()
        return self._clock.now() + timedelta(seconds=max(left_s, 0.0))

    @property
    def limited_until(self) -> datetime | None:
        """Until when nothing goes, as the destination asked for by 429."""
        left_s = self.limited.wait_s(self._clock.monotonic())
        return self._clock.now() + timedelta(seconds=left_s) if left_s else None

    async def ready(self) -> bool:
        """Return when a write may go; true when it is the probe, which must be reported."""
        while True:
            await self.due()
            probing = self.enter()
            if probing is not None:
                return probing

    async def due(self) -> None:
        """Return when a write may go, be it as the probe, if nobody else is quicker."""
        while (wait_s := self.wait_s()) != 0.0:
            await self._changed.within(wait_s)

    def wait_s(self) -> float | None:
        """Return how long to wait before a write: 0 now, ``None`` for no known time."""
        now = self._clock.monotonic()
        down_s = self.breaker.wait_s(now)
        if down_s is None:
            return None
        return max(down_s, self.limited.wait_s(now), self._pause_until - now)

    def _is_shut(self) -> bool:
        """Say whether loads that are under way send no more."""
        state = self.breaker.state
        return state in ("open", "gone") or self.limited.wait_s(self._clock.monotonic()) > 0

    def enter(self) -> bool | None:
        """Say if a write may go now: true as the probe, which must be reported; ``None``: no."""
        if self.wait_s() != 0.0:
            return None
        if self.breaker.state == "closed":
            return False
        self._decide(self.breaker.probe())
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
                outcomes = still_failing(outcomes)
            judged = self.suspects.judged(turn, load, outcomes)
        except BaseException:
            self._lift_probe("the probe was cut off")
            raise
        judged = replace(judged, outcomes=discreet(judged.outcomes, self.redact))
        self._note_reached(judged.outcomes)
        if resumed == self._resumed or takes(judged.outcomes):
            self._count(load, judged)
            judged = replace(judged, outcomes=self._kept_back(judged.outcomes))
        if probing and judged.own == len(judged.outcomes) > 0:
            self.pass_up()  # it is about that event, so that another one has to show
        else:
            self._learn(judged.outcomes, probing=probing, resumed=resumed)
        return judged.outcomes

    async def reach(self) -> None:
        """Try until it has answered, if it can be tried without writing to it."""
        destination = self.opened.destination
        while not self.reached and isinstance(destination, Reachable):
            await self.ready()
            await self.ask(destination.reach())

    @property
    def waits_for(self) -> str:
        """What nobody knows of it yet, in words; empty once it has answered."""
        if self.reached:
            return ""
        can_be_tried = isinstance(self.opened.destination, Reachable)
        return "not reached yet" if can_be_tried else "not tried yet"

    def _note_reached(self, outcomes: Sequence[Outcome]) -> None:
        if not self.reached and reached(outcomes):
            self.reached = True
            if self._on_change is not None:
                self._on_change(self)

    async def ask(self, answer: Awaitable[T | Down]) -> T | Down:
        """Learn from what a destination answers to a question, as to a load, and return it."""
        found: T | Down
        probing, resumed = self.breaker.state == "half-open", self._resumed
        try:
            found = await answer
        except StoreError:  # ours, and nothing of the destination's
            if probing:
                self.pass_up()
            raise
        except BaseException as error:
            if not isinstance(error, Exception):
                self._lift_probe("the probe was cut off")
                raise
            found = Down(exception_line(error))
        if isinstance(found, Down):
            found = replace(found, reason=self.redact(found.reason), error="")
        told = [found if isinstance(found, Down) else DELIVERED]
        if not isinstance(found, Down):  # which says so goes on being asked until it is there
            self._note_reached(told)
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

    def _count(self, load: Load, judged: Judged) -> None:
        """Count what came back; that an event fails by itself again tells nothing new."""
        outcomes, now = judged.outcomes, self._clock.monotonic()
        found = answers(load, judged)
        if found.delivered:
            self.landed_at = self._clock.now()
        self.window = self.window.after(now, found)
        if found.delivered or found.unavailable:
            self._pause_until = now + self.window.pause_s
        refused = [one for one in outcomes if isinstance(one, RateLimited)]
        if refused or self.limited.is_slow:
            self._limit(now, refused, found.delivered)

    def _limit(self, now: float, refused: Sequence[RateLimited], delivered: int) -> None:
        asked_s = max((one.after_s for one in refused if one.after_s is not None), default=None)
        last = sum(not one.overtaken for one in refused)
        before, self.limited = self.limited, self.limited.after(now, delivered, last, asked_s)
        self.slots.slow_down(self.limited.limit)
        self._changed.give()
        if self.limited.until - max(before.until, now) > _TOLD_S and self._on_change is not None:
            self._on_change(self)

    def _kept_back(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return the outcomes; while nothing goes, what was over the limit stays where it is."""
        wait_s = self.limited.wait_s(self._clock.monotonic())
        if not wait_s or not any(isinstance(one, RateLimited) for one in outcomes):
            return outcomes
        return [
            Down(one.reason, reachable=True, error=one.error)
            if isinstance(one, RateLimited) and (one.after_s or 0.0) <= wait_s + _ALMOST_S
            else one
            for one in outcomes
        ]

    def _learn(self, outcomes: Sequence[Outcome], *, probing: bool, resumed: int) -> None:
        found, now = self.breaker, self._clock.monotonic()
        if resumed != self._resumed and not takes(outcomes):
            if probing:
                self.pass_up()
            return
        if outcomes and outcomes.count(UNTRIED) == len(outcomes):
            if probing:
                self.pass_up()
            return
        if outcomes.count(DELIVERED) < len(outcomes):
            gone = next((one for one in outcomes if isinstance(one, Gone)), None)
            down = next((one for one in outcomes if is_certain(one)), None)
            if gone is not None:
                self._decide(found.on_gone(gone.reason))
                return
            if down is not None:
                self._decide(found.on_down(now, down.reason, down.after_s))
                return
        if self._is_down(outcomes, probing=probing):
            return
        if probing or not found.failing:
            self._answered(found, outcomes)

    def _is_down(self, outcomes: Sequence[Outcome], *, probing: bool) -> bool:
        """Say whether it is down by all that it answered lately; then the breaker is open."""
        last = next((one for one in reversed(outcomes) if isinstance(one, Down)), None)
        if last is None or takes(outcomes):
            return False
        if probing and self._probes + 1 < self.window.probes:
            self._probes += 1
            self.pass_up()
        elif probing or self.window.is_down:
            self._probes = 0
            in_a_row = self.window.in_a_row
            often = f"{in_a_row:,} failures in a row: " if in_a_row > 1 else ""
            reason = often + last.reason
            self._decide(self.breaker.on_down(self._clock.monotonic(), reason, last.after_s))
        return True

    def _answered(self, found: Breaker, outcomes: Sequence[Outcome]) -> None:
        """Learn from a load that was answered, event by event."""
        if found.state == "half-open" and found.failing and outcomes and not takes(outcomes):
            self.pass_up()  # it is about that event, so that another one has to show
            return
        if found.state != "closed":
            self.window = self.window.reset(self._clock.monotonic())
        elif self.window.is_failing:
            last = failures(outcomes)[-1:]
            why = f", the last with {last[0].error}: {last[0].reason}" if last else ""
            delivered, failed = self.window.counts
            reason = f"{failed} of {delivered + failed} attempts failed{why}"
            self._decide(found.on_failing(self._clock.monotonic(), reason))
            return
        self._decide(found.on_success())

    def pass_up(self) -> None:
        """Let another be the probe: who was to be it did not go."""
        if self.breaker.state == "half-open":
            self._decide(self.breaker.unprobed())

    def _lift_probe(self, reason: str) -> None:
        if self.breaker.state == "half-open":
            self._decide(
                self.breaker.on_down(self._clock.monotonic(), self.breaker.reason or reason)
            )

    def _decide(self, breaker: Breaker) -> None:
        self.heard = False
        self._set(breaker)

    def _set(self, breaker: Breaker) -> None:
        changed = breaker.state != self.breaker.state
        if changed and ("closed" in (breaker.state, self.breaker.state) or breaker.state == "gone"):
            self.since = self._clock.now()
        if changed:
            self.decided_at = self._clock.now()
        self.breaker = breaker
        self._changed.give()
        if changed and self._on_change is not None:
            self._on_change(self)
