"""The loops of a process that belong to no lane: measure, record, trim, watch."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busway.app.role import Role
from busway.bus.group_commit import Appender
from busway.clock import Clock
from busway.control.context import ControlContext
from busway.ports import Stores
from busway.runtime.access.key_ring import KeyRing
from busway.runtime.dead_letter_job import DeadLetterJobRunner
from busway.runtime.dedupe_follower import DedupeFollower
from busway.runtime.lease.duty import Duties, only_on_duty
from busway.runtime.loop import Loop, LoopBody
from busway.runtime.maintenance import Maintenance, Retention
from busway.runtime.observe.alert_monitor import AlertMonitor
from busway.runtime.observe.clock_monitor import ClockMonitor
from busway.runtime.outage_log import OutageLog
from busway.runtime.source.monitors import SourceMonitors
from busway.settings import Settings


class Housekeeping(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a node that take turns.

    ``observers`` are the loops of every process, by name. ``duties`` is ``None`` if no other
    process shares the stores.
    """

    role: Role
    settings: Settings
    stores: Stores
    clock: Clock
    outage_log: OutageLog
    duties: Duties | None
    appender: Appender
    control: ControlContext
    keys: KeyRing
    source_monitors: SourceMonitors
    alert_monitor: AlertMonitor
    observers: Mapping[str, LoopBody]

    def create_loops(self) -> list[Loop]:
        """Return the loops of a process with this role, not started."""
        clock_monitor = ClockMonitor(self.stores.ledger, self.clock, self._records_clock)
        bodies: dict[str, LoopBody] = {**self.observers, "clock": clock_monitor.run_once}
        if self.role != "work":
            bodies |= self._intake_bodies()
        if self.stores.is_shared:
            for partition in range(self.stores.log.partitions):
                follower = DedupeFollower(self.appender, partition)
                bodies[f"follow/{partition}"] = follower.run_once
        if self.role != "serve":
            bodies |= self._singleton_bodies()
        return [Loop(name, body, self.outage_log) for name, body in bodies.items()]

    def _intake_bodies(self) -> Mapping[str, LoopBody]:
        bodies = {"keys": self.keys.run_once, "sources": self.source_monitors.turn}
        if self.stores.is_shared:
            bodies["last-seen"] = self.alert_monitor.track_sources
        return bodies

    def _singleton_bodies(self) -> Mapping[str, LoopBody]:
        """Return the bodies that run in one process of the installation at a time."""
        log, ledger, settings = self.stores.log, self.stores.ledger, self.settings
        retention = Retention(settings.retention_age_s, settings.retention_bytes)
        bodies: dict[str, LoopBody] = {
            "redrive": DeadLetterJobRunner(self.control).run_once,
            "maintenance": Maintenance(log, ledger, self.clock, retention).run_once,
            "alerts": self.alert_monitor.run_once,
        }
        on_standby = {"alerts": self.alert_monitor.on_standby}
        return {
            name: only_on_duty(name, self.duties, body, on_standby.get(name))
            for name, body in bodies.items()
        }

    def _records_clock(self) -> bool:
        if self.duties is None:
            return self.role == "all"
        return self.duties.holds("maintenance")
