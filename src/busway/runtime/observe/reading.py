"""Take the readings that alerts are about: only what one of them asks for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from busway.clock import Clock, arrival_time
from busway.control.alert.observation import Disk, Reading
from busway.control.flow.status import FlowStatus
from busway.control.record import stuck_records
from busway.delivery.failing import Failing, Standing
from busway.flow.alert import Alert
from busway.lane import Query, flow_of
from busway.ports import Ledger, Stores
from busway.runtime.observe.seen import Seen
from busway.runtime.observe.survey import Survey

_RATIOS = ("failing", "error_ratio")
_REST = 20
_MOST_GROUPS = 100_000


class Reader:
    """Reads the stores, the disk, and what was seen of sources."""

    def __init__(self, stores: Stores, clock: Clock, survey: Survey, seen: Seen) -> None:
        self._stores = stores
        self._clock = clock
        self._survey = survey
        self._seen = seen
        self._failing: dict[str, tuple[Alert, Failing | Standing]] = {}
        self._fresh = Fresh(stores.ledger, clock)

    async def flows(self) -> Sequence[FlowStatus]:
        """Return where the events of each flow are."""
        return await self._survey.flows()

    async def read(self, alerts: Sequence[Alert]) -> Reading:
        """Return what these alerts look at, as it is now."""
        flows = await self._survey.flows()
        kinds = {alert.kind for alert in alerts}
        await self.attend(alerts)
        return Reading(
            at=arrival_time(self._clock),
            flows=flows,
            log_bytes=await self._stores.log.size_bytes() if "log_size" in kinds else 0,
            disk=self._disk() if "disk_free" in kinds else None,
            silent_s=self._seen.silent_s(),
            stuck=await stuck_records(self._stores.ledger, self._clock.now()),
            failing=self._ratios([one for one in alerts if one.kind in _RATIOS], flows),
            fresh=await self._fresh.counts(
                [one for one in alerts if one.kind == "new_dead_letters"], flows
            ),
        )

    async def attend(self, alerts: Sequence[Alert]) -> None:
        """Keep when events came from the sources that these alerts watch."""
        await self._seen.watch({alert.source for alert in alerts if alert.source is not None})
        await self._seen.keep()

    def _disk(self) -> Disk | None:
        place = self._stores.place
        if place is None:
            return None
        disk = os.statvfs(place)
        return Disk(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)

    def _ratios(
        self, alerts: Sequence[Alert], flows: Sequence[FlowStatus]
    ) -> Mapping[str, float | None]:
        known, self._failing = self._failing, {}
        now, found = self._clock.monotonic(), {}
        for alert in alerts:
            about, failing = known.get(alert.name, (None, None))
            if failing is None or about != alert:
                failing = (Standing if alert.kind == "failing" else Failing)(
                    alert.over_s, alert.least
                )
            self._failing[alert.name] = (alert, failing)
            mine = [one for one in flows if alert.flow in (None, one.name)]
            found[alert.name] = _looked(failing, now, mine)
        return found


def _looked(failing: Failing | Standing, now: float, flows: Sequence[FlowStatus]) -> float | None:
    parked, dead = sum(one.parked for one in flows), sum(one.dead for one in flows)
    if isinstance(failing, Standing):
        return failing.looked(now, parked, dead, sum(one.delivered for one in flows))
    read = sum(one.accepted - one.backlog for one in flows)
    return failing.looked(now, read, parked + dead + sum(one.discarded for one in flows))


class Fresh:
    """Counts the dead letters that came within a time; asks no more than is cheap.

    The answer to a question is kept for twenty times as long as it took.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: dict[float, tuple[float, Mapping[str, int]]] = {}

    async def counts(
        self, alerts: Sequence[Alert], flows: Sequence[FlowStatus]
    ) -> Mapping[str, int | None]:
        """Return how many each of these alerts finds, by its name."""
        found: dict[str, int | None] = {}
        known, self._known = self._known, {}
        dead = any(one.dead for one in flows)
        for within_s in {alert.over_s for alert in alerts}:
            again_at, counts = known.get(within_s, (float("-inf"), {}))
            began = self._clock.monotonic()
            if began >= again_at:
                counts = await self._count(within_s) if dead else {}
                again_at = began + _REST * (self._clock.monotonic() - began)
            self._known[within_s] = (again_at, counts)
            mine = [one for one in alerts if one.over_s == within_s]
            found |= {one.name: counts.get(one.flow or "", 0) for one in mine}
        return found

    async def _count(self, within_s: float) -> Mapping[str, int]:
        since = self._clock.now() - timedelta(seconds=within_s)
        query = Query(state="dead", since_from=since, limit=_MOST_GROUPS)
        found: Counter[str] = Counter()
        for group in await self._ledger.groups(query):
            found[flow_of(group.flow)] += group.count
        return found
