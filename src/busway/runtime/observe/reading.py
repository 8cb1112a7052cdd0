"""Take the readings that alerts are about: only what one of them asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from busway.clock import Clock
from busway.control.alert.observation import Disk, Reading
from busway.control.flow.status import FlowStatus
from busway.control.record import stuck_records
from busway.delivery.failing import Failing
from busway.flow.alert import Alert
from busway.ports import Stores
from busway.runtime.observe.seen import Seen
from busway.runtime.observe.survey import Survey


class Reader:
    """Reads the stores, the disk, and what was seen of sources."""

    def __init__(self, stores: Stores, clock: Clock, survey: Survey, seen: Seen) -> None:
        self._stores = stores
        self._clock = clock
        self._survey = survey
        self._seen = seen
        self._failing: dict[str, tuple[Alert, Failing]] = {}

    async def read(self, alerts: Sequence[Alert]) -> Reading:
        """Return what these alerts look at, as it is now."""
        flows = await self._survey.flows()
        kinds = {alert.kind for alert in alerts}
        await self.attend(alerts)
        return Reading(
            at=self._clock.now(),
            flows=flows,
            log_bytes=await self._stores.log.size_bytes() if "log_size" in kinds else 0,
            disk=self._disk() if "disk_free" in kinds else None,
            silent_s=self._seen.silent_s(),
            stuck=await stuck_records(self._stores.ledger),
            failing=self._ratios([one for one in alerts if one.kind == "error_ratio"], flows),
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

    def _ratios(self, alerts: Sequence[Alert], flows: Sequence[FlowStatus]) -> Mapping[str, float]:
        known, self._failing = self._failing, {}
        now, found = self._clock.monotonic(), {}
        for alert in alerts:
            about, failing = known.get(alert.name, (None, None))
            if failing is None or about != alert:
                failing = Failing(alert.over_s, alert.least)
            self._failing[alert.name] = (alert, failing)
            mine = [one for one in flows if alert.flow in (None, one.name)]
            read = sum(one.accepted - one.backlog for one in mine)
            troubled = sum(one.parked + one.dead + one.discarded for one in mine)
            found[alert.name] = failing.looked(now, read, troubled)
        return found
