"""What an alert's condition finds when it looks: a value, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from busway.control.flow.status import FlowStatus
from busway.control.record import StuckRecord
from busway.flow.alert import Alert, Kind


class Disk(msgspec.Struct, frozen=True):
    """The disk that the stores are on."""

    free_bytes: int
    total_bytes: int


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that conditions look at, at one time.

    ``silent_s`` has for each source how long nothing came from it, ``failing`` for each alert the
    share of events that failed, ``fresh`` how many dead letters are new.
    """

    at: datetime
    flows: Sequence[FlowStatus]
    log_bytes: int = 0
    disk: Disk | None = None
    silent_s: Mapping[str, float] = {}
    failing: Mapping[str, float | None] = {}
    fresh: Mapping[str, int | None] = {}
    stuck: Sequence[StuckRecord] = ()


class Observed(msgspec.Struct, frozen=True):
    """A value in the unit of its alert, ``None`` where it is not known, and a detail for people."""

    value: float | None
    detail: str = ""


def observed(alert: Alert, reading: Reading) -> Observed:
    """Return what an alert finds in a reading."""
    return _OBSERVERS[alert.kind](alert, reading)


def _flows(alert: Alert, reading: Reading) -> Sequence[FlowStatus]:
    return [one for one in reading.flows if alert.flow in (None, one.name)]


def _sum_of(attribute: str) -> Callable[[Alert, Reading], Observed]:
    def observe(alert: Alert, reading: Reading) -> Observed:
        flows = _flows(alert, reading)
        worst = max(flows, key=lambda one: int(getattr(one, attribute)), default=None)
        detail = "" if alert.flow or worst is None else f"most of them of flow {worst.name!r}"
        value = sum(getattr(one, attribute) for one in flows)
        return Observed(value, detail if value else "")

    return observe


def _backlog_age(alert: Alert, reading: Reading) -> Observed:
    since = {
        one.name: one.waiting_since
        for one in _flows(alert, reading)
        if one.waiting_since is not None
    }
    if not since:
        return Observed(0.0)
    oldest = min(since, key=since.__getitem__)
    age_s = max(0.0, (reading.at - since[oldest]).total_seconds())
    return Observed(age_s, "" if alert.flow else f"that of flow {oldest!r}")


def _breaker_open(alert: Alert, reading: Reading) -> Observed:
    """Count the destinations that take nothing."""
    shut = {
        one.destination: one
        for one in _flows(alert, reading)
        if one.declared and one.breaker != "closed" and alert.destination in (None, one.destination)
    }
    details = [f"{name}: {one.breaker_reason or one.breaker}" for name, one in shut.items()]
    return Observed(len(shut), "; ".join(details))


def _gone(alert: Alert, reading: Reading) -> Observed:
    gone = [one for one in _flows(alert, reading) if one.breaker == "gone"]
    return Observed(len(gone), "; ".join(one.breaker_reason for one in gone))


def _stuck(alert: Alert, reading: Reading) -> Observed:
    """Count the loops that fail again and again, of a flow or of none."""
    found = [one for one in reading.stuck if one.flow == (alert.flow or "")]
    return Observed(len(found), "; ".join(one.text for one in found))


def _silence(alert: Alert, reading: Reading) -> Observed:
    return Observed(reading.silent_s.get(alert.source or ""))


def _error_ratio(alert: Alert, reading: Reading) -> Observed:
    return Observed(reading.failing.get(alert.name))


def _new_dead_letters(alert: Alert, reading: Reading) -> Observed:
    return Observed(reading.fresh.get(alert.name))


def _disk_free(alert: Alert, reading: Reading) -> Observed:
    disk = reading.disk
    if disk is None:
        return Observed(None, "the stores are not on a disk of this machine")
    if alert.unit == "percent":
        return Observed(100.0 * disk.free_bytes / max(disk.total_bytes, 1))
    return Observed(disk.free_bytes)


def _log_size(alert: Alert, reading: Reading) -> Observed:
    return Observed(reading.log_bytes)


_OBSERVERS: Mapping[Kind, Callable[[Alert, Reading], Observed]] = {
    "dead_letters": _sum_of("dead"),
    "new_dead_letters": _new_dead_letters,
    "parked": _sum_of("parked"),
    "backlog_size": _sum_of("backlog"),
    "backlog_age": _backlog_age,
    "breaker_open": _breaker_open,
    "gone": _gone,
    "stuck": _stuck,
    "silence": _silence,
    "failing": _error_ratio,
    "error_ratio": _error_ratio,
    "disk_free": _disk_free,
    "log_size": _log_size,
}
