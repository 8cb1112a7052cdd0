"""Take the readings that alerts are about: only what one of them asks for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from busway.clock import Clock, append_time
from busway.control.alert.condition import AlertSample, DiskUsage
from busway.control.flow.status import FlowStatus
from busway.control.record import stuck_records
from busway.delivery.failure_rate import FailedShare, FailureRate
from busway.failed_event import FailedEventQuery
from busway.flow.alert import Alert
from busway.lane import flow_of
from busway.ports import Ledger, Stores
from busway.runtime.observe.flow_sampler import FlowSampler
from busway.runtime.observe.last_seen import LastSeen

_RATIOS = ("failing", "error_ratio")
_CACHE_FACTOR = 20
_MAX_GROUPS = 100_000


class AlertSampler:
    """Reads the stores, the disk, and what was seen of sources."""

    def __init__(
        self, stores: Stores, clock: Clock, flow_sampler: FlowSampler, last_seen: LastSeen
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._flow_sampler = flow_sampler
        self._last_seen = last_seen
        self._ratio_windows: dict[str, tuple[Alert, FailureRate | FailedShare]] = {}
        self._new_dead_letters = NewDeadLetterCounter(stores.ledger, clock)

    async def flows(self) -> Sequence[FlowStatus]:
        """Return where the events of each flow are."""
        return await self._flow_sampler.flows()

    async def sample(self, alerts: Sequence[Alert]) -> AlertSample:
        """Return what these alerts look at, as it is now."""
        flows = await self._flow_sampler.flows()
        kinds = {alert.kind for alert in alerts}
        await self.track_sources(alerts)
        return AlertSample(
            at=append_time(self._clock),
            flows=flows,
            log_bytes=await self._stores.log.size_bytes() if "log_size" in kinds else 0,
            disk=self._disk() if "disk_free" in kinds else None,
            silent_s=self._last_seen.silent_s(),
            stuck=await stuck_records(self._stores.ledger, self._clock.now()),
            failure_ratios=self._ratios([one for one in alerts if one.kind in _RATIOS], flows),
            new_dead_letters=await self._new_dead_letters.counts(
                [one for one in alerts if one.kind == "new_dead_letters"], flows
            ),
        )

    async def track_sources(self, alerts: Sequence[Alert]) -> None:
        """Keep when events came from the sources that these alerts watch."""
        await self._last_seen.watch({alert.source for alert in alerts if alert.source is not None})
        await self._last_seen.save()

    def _disk(self) -> DiskUsage | None:
        place = self._stores.directory
        if place is None:
            return None
        disk = os.statvfs(place)
        return DiskUsage(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)

    def _ratios(
        self, alerts: Sequence[Alert], flows: Sequence[FlowStatus]
    ) -> Mapping[str, float | None]:
        known, self._ratio_windows = self._ratio_windows, {}
        now, found = self._clock.monotonic(), {}
        for alert in alerts:
            about, failing = known.get(alert.name, (None, None))
            if failing is None or about != alert:
                failing = (FailedShare if alert.kind == "failing" else FailureRate)(
                    alert.window_s, alert.min_events
                )
            self._ratio_windows[alert.name] = (alert, failing)
            mine = [one for one in flows if alert.flow in (None, one.name)]
            found[alert.name] = _ratio(failing, now, mine)
        return found


def _ratio(
    failing: FailureRate | FailedShare, now: float, flows: Sequence[FlowStatus]
) -> float | None:
    parked, dead = sum(one.parked for one in flows), sum(one.dead for one in flows)
    if isinstance(failing, FailedShare):
        return failing.observe(now, parked, dead, sum(one.delivered for one in flows))
    read = sum(one.accepted - one.backlog for one in flows)
    return failing.observe(now, read, parked + dead + sum(one.discarded for one in flows))


class NewDeadLetterCounter:
    """Counts the dead letters that came within a time; asks no more than is cheap.

    The answer to a question is kept for twenty times as long as it took.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._cached: dict[float, tuple[float, Mapping[str, int]]] = {}

    async def counts(
        self, alerts: Sequence[Alert], flows: Sequence[FlowStatus]
    ) -> Mapping[str, int | None]:
        """Return how many each of these alerts finds, by its name."""
        found: dict[str, int | None] = {}
        known, self._cached = self._cached, {}
        dead = any(one.dead for one in flows)
        for within_s in {alert.window_s for alert in alerts}:
            again_at, counts = known.get(within_s, (float("-inf"), {}))
            began = self._clock.monotonic()
            if began >= again_at:
                counts = await self._count(within_s) if dead else {}
                again_at = began + _CACHE_FACTOR * (self._clock.monotonic() - began)
            self._cached[within_s] = (again_at, counts)
            mine = [one for one in alerts if one.window_s == within_s]
            found |= {one.name: counts.get(one.flow or "", 0) for one in mine}
        return found

    async def _count(self, within_s: float) -> Mapping[str, int]:
        since = self._clock.now() - timedelta(seconds=within_s)
        query = FailedEventQuery(state="dead", since_from=since, limit=_MAX_GROUPS)
        found: Counter[str] = Counter()
        for group in await self._ledger.failed_event_groups(query):
            found[flow_of(group.flow)] += group.count
        return found
