"""The guard of a destination: its breaker and limits, shared by all lanes that deliver to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec.structs import replace

from busway.clock import Clock
from busway.delivery.backoff import Backoff
from busway.delivery.breaker import Breaker
from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.error_policy import classify, failed_attempts
from busway.delivery.failure_window import FailureWindow
from busway.delivery.rate_limit_backoff import RateLimitBackoff
from busway.errors import StoreError
from busway.exception_text import exception_line
from busway.outcome import DELIVERED, NOT_ATTEMPTED, Down, Gone, Outcome, RateLimited
from busway.ports import Load, Pingable
from busway.redact import Redactor
from busway.runtime.admission.concurrency_limiter import ConcurrencyLimiter
from busway.runtime.admission.load_bisection import LoadBisector
from busway.runtime.admission.load_outcome import (
    as_still_failing,
    count_load,
    hold_rate_limited,
    is_accepting,
    is_certainly_down,
    is_reached,
    redact_outcomes,
)
from busway.runtime.admission.opened_sink import OpenedSink
from busway.runtime.admission.suspect_event import LoadResult, PoisonDetector
from busway.runtime.signal import Signal
from busway.secret import secrets_of

T = TypeVar("T")
DEFAULT_BACKOFF = Backoff()
DEFAULT_BREAKER_POLICY = BreakerPolicy()

_REPORTED_WAIT_S = 0.9
"""From how long on a wait that a destination asks for by 429 is kept for people to see."""


class DestinationGuard:
    """Admits writes while the destination is available; otherwise one probe at a time."""

    def __init__(
        self,
        opened: OpenedSink,
        clock: Clock,
        on_change: Callable[[DestinationGuard], None] | None = None,
        breaker_policy: BreakerPolicy = DEFAULT_BREAKER_POLICY,
        worker: str = "",
    ) -> None:
        self.worker = worker
        self.decided_at = clock.now()
        """When the breaker last changed, here or in another worker."""
        self.is_adopted = False
        """Whether the breaker's state was adopted from another worker."""
        self.opened = opened
        self.redact = Redactor(secrets_of(opened.sink))
        """Removes the secrets of the sink's declaration from a text."""
        self.breaker = Breaker(policy=breaker_policy)
        self.failure_window = FailureWindow(breaker_policy)
        """Its recent answers to all flows that deliver to it."""
        self.rate_limit = RateLimitBackoff()
        self._pause_until = 0.0
        self._failed_probes = 0
        """The number of failed probes since the breaker last opened."""
        self.poison_detector = PoisonDetector()
        self._load_bisector = LoadBisector(divisible=not opened.keeps_positions)
        self.state_since = clock.now()
        """When the breaker closed, or stopped being closed."""
        self.is_reached = False
        """Whether it has answered since the start."""
        self.last_delivered_at: datetime | None = None
        """When it last accepted an event."""
        self.concurrency_limiter = ConcurrencyLimiter(opened.concurrency, clock, self._is_blocked)
        self._takes_permits = opened.concurrency is not None
        self._resume_count = 0
        """The number of resumes; a load sent before a resume says nothing if it fails after it."""
        self._clock = clock
        self._on_change = on_change
        self._changed = Signal(clock)

    @property
    def is_closed(self) -> bool:
        """Whether the breaker is closed."""
        return self.breaker.state == "closed"

    def resume(self) -> None:
        """Probe at once, even if the destination asked never to be called again (410)."""
        self._resume_count += 1
        limited, self.rate_limit = self.limited_until is not None, self.rate_limit.unblocked()
        self._set_own(self.breaker.resume())
        if limited:
            self._changed.notify()
            if self._on_change is not None:
                self._on_change(self)

    def adopt_decision(self, breaker: Breaker, since: datetime, at: datetime) -> None:
        """Adopt the breaker of another worker."""
        if breaker.state == "closed":
            self.failure_window = self.failure_window.reset(self._clock.monotonic())
        self.is_adopted = True
        self._set(breaker)
        self.state_since, self.decided_at = since, at

    def restore_gone(self, reason: str, since: datetime) -> None:
        """Restore a stored state: the destination asked never to be called again."""
        self._set_own(self.breaker.on_gone(reason))
        self.state_since = since

    @property
    def probe_at(self) -> datetime | None:
        """The time of the next probe, ``None`` unless the breaker is open."""
        if self.breaker.state != "open":
            return None
        left_s = self.breaker.probe_at - self._clock.monotonic()
        return self._clock.now() + timedelta(seconds=max(left_s, 0.0))

    @property
    def limited_until(self) -> datetime | None:
        """The end of the wait that the destination asked for by 429, if there is one."""
        left_s = self.rate_limit.wait_s(self._clock.monotonic())
        return self._clock.now() + timedelta(seconds=left_s) if left_s else None

    async def wait_admitted(self) -> bool:
        """Wait for an admission; return whether it is the probe, which must be reported."""
        while True:
            await self.wait_callable()
            probing = self.try_enter()
            if probing is not None:
                return probing

    async def wait_callable(self) -> None:
        """Wait until a write could be admitted, perhaps as the probe."""
        while (wait_s := self.wait_s()) != 0.0:
            await self._changed.wait(wait_s)

    def wait_s(self) -> float | None:
        """Return how long to wait before a write: 0 for not at all, ``None`` if it is unknown."""
        now = self._clock.monotonic()
        down_s = self.breaker.wait_s(now)
        if down_s is None:
            return None
        return max(down_s, self.rate_limit.wait_s(now), self._pause_until - now)

    def _is_blocked(self) -> bool:
        """Return whether loads in progress must send no further requests."""
        state = self.breaker.state
        return state in ("open", "gone") or self.rate_limit.wait_s(self._clock.monotonic()) > 0

    def try_enter(self) -> bool | None:
        """Admit a write: true as the probe, which must be reported; ``None`` if refused."""
        if self.wait_s() != 0.0:
            return None
        if self.breaker.state == "closed":
            return False
        self._set_own(self.breaker.begin_probe())
        return True

    async def write(self, load: Load, backoff: Backoff = DEFAULT_BACKOFF) -> Sequence[Outcome]:
        """Write a load, update the breaker by the outcomes, and return them.

        The flow's ``backoff`` classifies them. A single outcome of a load without items means that
        the destination could not store the load's position.
        """
        probing, resumed = self.breaker.state == "half-open", self._resume_count
        try:
            turn = self.poison_detector.start_load()
            outcomes = classify(
                backoff, await self._load_bisector.write(self._write_with_permit, load)
            )
            if probing and self.breaker.opened_by_failures:
                outcomes = as_still_failing(outcomes)
            judged = self.poison_detector.examine(turn, load, outcomes)
        except BaseException:
            self._fail_probe("the probe was cut off")
            raise
        judged = replace(judged, outcomes=redact_outcomes(judged.outcomes, self.redact))
        self._note_reached(judged.outcomes)
        if resumed == self._resume_count or is_accepting(judged.outcomes):
            self._record_answers(load, judged)
            limited_s = self.rate_limit.wait_s(self._clock.monotonic())
            judged = replace(judged, outcomes=hold_rate_limited(judged.outcomes, limited_s))
        if probing and judged.poison_count == len(judged.outcomes) > 0:
            self.yield_probe()  # the failure is about that event: another one has to probe
        else:
            self._update_breaker(judged.outcomes, probing=probing, resumed=resumed)
        return judged.outcomes

    async def wait_reached(self) -> None:
        """Ping until the destination has answered, if it can be pinged."""
        destination = self.opened.destination
        while not self.is_reached and isinstance(destination, Pingable):
            await self.wait_admitted()
            await self.query(destination.ping())

    @property
    def unreached_reason(self) -> str:
        """Why its availability is unknown; empty once it has answered."""
        if self.is_reached:
            return ""
        can_be_tried = isinstance(self.opened.destination, Pingable)
        return "not reached yet" if can_be_tried else "not tried yet"

    def _note_reached(self, outcomes: Sequence[Outcome]) -> None:
        if not self.is_reached and is_reached(outcomes):
            self.is_reached = True
            if self._on_change is not None:
                self._on_change(self)

    async def query(self, answer: Awaitable[T | Down]) -> T | Down:
        """Await an answer of the destination, update the breaker by it, and return it."""
        reply: T | Down
        probing, resumed = self.breaker.state == "half-open", self._resume_count
        try:
            reply = await answer
        except StoreError:  # of Busway's own stores, not of the destination
            if probing:
                self.yield_probe()
            raise
        except BaseException as error:
            if not isinstance(error, Exception):
                self._fail_probe("the probe was cut off")
                raise
            reply = Down(exception_line(error))
        if isinstance(reply, Down):
            reply = replace(reply, reason=self.redact(reply.reason), error="")
        outcomes = [reply if isinstance(reply, Down) else DELIVERED]
        if not isinstance(reply, Down):  # until it answers, it is pinged again
            self._note_reached(outcomes)
        self._update_breaker(outcomes, probing=probing, resumed=resumed)
        return reply

    async def _write_with_permit(self, load: Load) -> Sequence[Outcome]:
        """Write while holding a permit, unless the sink acquires one for each request."""
        if self._takes_permits or load.permits is None:
            return await self.opened.destination.write(load)
        if not await load.permits.acquire():
            return [NOT_ATTEMPTED] * (len(load.items) or 1)
        began, refused, answered = self._clock.monotonic(), False, False
        try:
            outcomes = await self.opened.destination.write(load)
            refused, answered = any(isinstance(outcome, Down) for outcome in outcomes), True
            return outcomes
        finally:
            took_s = self._clock.monotonic() - began if answered else None
            load.permits.release(took_s, refused=refused)

    def _record_answers(self, load: Load, judged: LoadResult) -> None:
        """Count the outcomes; a repeated failure of a single event is not counted again."""
        outcomes, now = judged.outcomes, self._clock.monotonic()
        counts = count_load(load, judged)
        if counts.delivered:
            self.last_delivered_at = self._clock.now()
        self.failure_window = self.failure_window.after(now, counts)
        if counts.delivered or counts.unavailable:
            self._pause(now + self.failure_window.retry_pause_s)
        refused = [outcome for outcome in outcomes if isinstance(outcome, RateLimited)]
        if refused or self.rate_limit.is_active:
            self._apply_rate_limit(now, refused, counts.delivered)

    def _pause(self, until: float) -> None:
        """Pause until a time; a shorter pause than before wakes those that wait for it."""
        shortened = until < self._pause_until
        self._pause_until = until
        if shortened:
            self._changed.notify()

    def _apply_rate_limit(self, now: float, refused: Sequence[RateLimited], delivered: int) -> None:
        asked_s = max(
            (limited.retry_after_s for limited in refused if limited.retry_after_s is not None),
            default=None,
        )
        last = sum(not limited.later_delivered for limited in refused)
        before, self.rate_limit = (
            self.rate_limit,
            self.rate_limit.after(now, delivered, last, asked_s),
        )
        self.concurrency_limiter.cap(self.rate_limit.limit)
        if (
            self.rate_limit.blocked_until - max(before.blocked_until, now) > _REPORTED_WAIT_S
            and self._on_change is not None
        ):
            self._on_change(self)

    def _update_breaker(self, outcomes: Sequence[Outcome], *, probing: bool, resumed: int) -> None:
        breaker, now = self.breaker, self._clock.monotonic()
        if resumed != self._resume_count and not is_accepting(outcomes):
            if probing:
                self.yield_probe()
            return
        if outcomes and outcomes.count(NOT_ATTEMPTED) == len(outcomes):
            if probing:
                self.yield_probe()
            return
        if outcomes.count(DELIVERED) < len(outcomes):
            gone = next((outcome for outcome in outcomes if isinstance(outcome, Gone)), None)
            down = next((outcome for outcome in outcomes if is_certainly_down(outcome)), None)
            if gone is not None:
                self._set_own(breaker.on_gone(gone.reason))
                return
            if down is not None:
                self._set_own(breaker.on_down(now, down.reason, down.retry_after_s))
                return
        if self._is_down(outcomes, probing=probing):
            return
        if probing or not breaker.opened_by_failures:
            self._record_answered(breaker, outcomes)

    def _is_down(self, outcomes: Sequence[Outcome], *, probing: bool) -> bool:
        """Open the breaker if the recent answers show that it is down; return whether it may be."""
        last = next((outcome for outcome in reversed(outcomes) if isinstance(outcome, Down)), None)
        if last is None or is_accepting(outcomes):
            return False
        if probing and self._failed_probes + 1 < self.failure_window.needed_probes:
            self._failed_probes += 1
            self.yield_probe()
        elif probing or self.failure_window.is_down:
            self._failed_probes = 0
            in_a_row = self.failure_window.consecutive_failures
            often = f"{in_a_row:,} failures in a row: " if in_a_row > 1 else ""
            reason = often + last.reason
            self._set_own(self.breaker.on_down(self._clock.monotonic(), reason, last.retry_after_s))
        return True

    def _record_answered(self, breaker: Breaker, outcomes: Sequence[Outcome]) -> None:
        """Update the breaker after a load that was answered event by event."""
        if (
            breaker.state == "half-open"
            and breaker.opened_by_failures
            and outcomes
            and not is_accepting(outcomes)
        ):
            self.yield_probe()  # the failure is about that event: another one has to probe
            return
        if breaker.state != "closed":
            self.failure_window = self.failure_window.reset(self._clock.monotonic())
        elif self.failure_window.is_failing:
            last = failed_attempts(outcomes)[-1:]
            why = f", the last with {last[0].error}: {last[0].reason}" if last else ""
            delivered, failed = self.failure_window.first_attempts
            reason = f"{failed} of {delivered + failed} attempts failed{why}"
            self._set_own(breaker.on_failing(self._clock.monotonic(), reason))
            return
        self._set_own(breaker.on_success())

    def yield_probe(self) -> None:
        """Let another write be the probe."""
        if self.breaker.state == "half-open":
            self._set_own(self.breaker.release_probe())

    def _fail_probe(self, reason: str) -> None:
        if self.breaker.state == "half-open":
            self._set_own(
                self.breaker.on_down(self._clock.monotonic(), self.breaker.reason or reason)
            )

    def _set_own(self, breaker: Breaker) -> None:
        self.is_adopted = False
        self._set(breaker)

    def _set(self, breaker: Breaker) -> None:
        before, self.breaker = self.breaker, breaker
        changed = breaker.state != before.state
        if changed or breaker.probe_at != before.probe_at:
            self._changed.notify()
        if not changed:
            return
        self.decided_at = self._clock.now()
        if "closed" in (breaker.state, before.state) or breaker.state == "gone":
            self.state_since = self._clock.now()
        if self._on_change is not None:
            self._on_change(self)
