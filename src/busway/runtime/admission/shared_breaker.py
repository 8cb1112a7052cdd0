"""Workers that deliver to one destination go by the same decision whether it is down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from busway.clock import Clock
from busway.control.record import BreakerRecord, breaker_records
from busway.delivery.breaker import Breaker
from busway.ports import Ledger
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.loop import Loop

_RECENTLY = timedelta(minutes=1)
INTERVAL_S = 0.5
"""How soon a decision of another worker holds here too."""


class SharedBreakers:
    """Looks what other workers have decided of the destinations that are delivered to here."""

    def __init__(self, ledger: Ledger, clock: Clock, guards: Iterable[DestinationGuard]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._guards = tuple(guards)

    async def run_once(self, loop: Loop) -> None:
        """Adopt what is newer than what is known here, and wait."""
        self._adopt(await breaker_records(self._ledger))
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)

    def _adopt(self, records: Mapping[str, BreakerRecord]) -> None:
        for gate in self._guards:
            record = records.get(gate.opened.sink.name)
            if record is None or record.worker in ("", gate.worker) or record.at is None:
                continue
            breaker = newer_breaker(
                gate.breaker, gate.last_delivered_at, record, _next_probe_at(record, self._clock)
            )
            if record.at > gate.decided_at and breaker is not None:
                gate.adopt_decision(breaker, record.since, record.at)


def start_from_shared(guard: DestinationGuard, record: BreakerRecord | None, clock: Clock) -> None:
    """Have a worker that starts begin with what another one has just decided."""
    if record is None or record.at is None or record.worker in ("", guard.worker):
        return
    if record.state == "open" and clock.now() - record.at < _RECENTLY:
        breaker = newer_breaker(guard.breaker, None, record, _next_probe_at(record, clock))
        if breaker is not None:
            guard.adopt_decision(breaker, record.since, record.at)


def _next_probe_at(record: BreakerRecord, clock: Clock) -> float:
    """Return when the other worker tries again, by the clock of this one."""
    if record.probe_at is None:
        return clock.monotonic()
    return clock.monotonic() + max((record.probe_at - clock.now()).total_seconds(), 0.0)


def newer_breaker(
    own: Breaker, landed_at: datetime | None, record: BreakerRecord, until: float
) -> Breaker | None:
    """Return the breaker by a newer decision of another worker, ``None`` to keep one's own.

    What has been delivered here since says more than that it was down there.
    """
    if own.state == "gone" or record.at is None:
        return None
    if record.state == "gone":
        return own.on_gone(record.reason)
    if record.state == "closed":
        return own.on_success() if own.state == "open" and not record.unreached_reason else None
    if record.state != "open" or (landed_at is not None and landed_at > record.at):
        return None
    if own.state == "closed" or (own.state == "open" and record.failures > own.failures):
        return Breaker(
            "open", record.reason, record.failures, until, own.opened_by_failures, own.policy
        )
    return None
