"""What an alert's condition finds when it looks: a value, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from busway.control.flow.status import FlowStatus
from busway.control.record import StuckRecord
from busway.flow.alert import Alert, AlertKind


class DiskUsage(msgspec.Struct, frozen=True):
    """The disk that the stores are on."""

    free_bytes: int
    total_bytes: int


class AlertSample(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that conditions look at, at one time.

    ``silent_s`` has for each source how long nothing came from it, ``failure_ratios`` for each
    alert the share of events that failed, ``new_dead_letters`` how many dead letters are new.
    """

    at: datetime
    flows: Sequence[FlowStatus]
    log_bytes: int = 0
    disk: DiskUsage | None = None
    silent_s: Mapping[str, float] = {}
    failure_ratios: Mapping[str, float | None] = {}
    new_dead_letters: Mapping[str, int | None] = {}
    stuck: Sequence[StuckRecord] = ()


class Observation(msgspec.Struct, frozen=True):
    """A value in the unit of its alert, ``None`` where it is not known, and a detail for people."""

    value: float | None
    detail: str = ""


def evaluate_condition(alert: Alert, sample: AlertSample) -> Observation:
    """Return what an alert finds in a reading."""
    return _OBSERVERS[alert.kind](alert, sample)


def _flows_of_alert(alert: Alert, sample: AlertSample) -> Sequence[FlowStatus]:
    return [one for one in sample.flows if alert.flow in (None, one.name)]


def _count_of(attribute: str) -> Callable[[Alert, AlertSample], Observation]:
    def observe(alert: Alert, reading: AlertSample) -> Observation:
        flows = _flows_of_alert(alert, reading)
        worst = max(flows, key=lambda one: int(getattr(one, attribute)), default=None)
        detail = "" if alert.flow or worst is None else f"most of them of flow {worst.name!r}"
        value = sum(getattr(one, attribute) for one in flows)
        return Observation(value, detail if value else "")

    return observe


def _backlog_age(alert: Alert, sample: AlertSample) -> Observation:
    since = {
        one.name: one.waiting_since
        for one in _flows_of_alert(alert, sample)
        if one.waiting_since is not None
    }
    if not since:
        return Observation(0.0)
    oldest = min(since, key=since.__getitem__)
    age_s = max(0.0, (sample.at - since[oldest]).total_seconds())
    return Observation(age_s, "" if alert.flow else f"that of flow {oldest!r}")


def _breaker_open(alert: Alert, sample: AlertSample) -> Observation:
    """Count the destinations that take nothing."""
    shut = {
        one.destination: one
        for one in _flows_of_alert(alert, sample)
        if one.declared and one.breaker != "closed" and alert.destination in (None, one.destination)
    }
    details = [f"{name}: {one.breaker_reason or one.breaker}" for name, one in shut.items()]
    return Observation(len(shut), "; ".join(details))


def _gone(alert: Alert, sample: AlertSample) -> Observation:
    gone = [one for one in _flows_of_alert(alert, sample) if one.breaker == "gone"]
    return Observation(len(gone), "; ".join(one.breaker_reason for one in gone))


def _stuck(alert: Alert, sample: AlertSample) -> Observation:
    """Count the loops that fail again and again, of a flow or of none."""
    found = [one for one in sample.stuck if one.flow == (alert.flow or "")]
    return Observation(len(found), "; ".join(one.text for one in found))


def _silence(alert: Alert, sample: AlertSample) -> Observation:
    return Observation(sample.silent_s.get(alert.source or ""))


def _error_ratio(alert: Alert, sample: AlertSample) -> Observation:
    return Observation(sample.failure_ratios.get(alert.name))


def _new_dead_letters(alert: Alert, sample: AlertSample) -> Observation:
    return Observation(sample.new_dead_letters.get(alert.name))


def _disk_free(alert: Alert, sample: AlertSample) -> Observation:
    disk = sample.disk
    if disk is None:
        return Observation(None, "the stores are not on a disk of this machine")
    if alert.unit == "percent":
        return Observation(100.0 * disk.free_bytes / max(disk.total_bytes, 1))
    return Observation(disk.free_bytes)


def _log_size(alert: Alert, sample: AlertSample) -> Observation:
    return Observation(sample.log_bytes)


_OBSERVERS: Mapping[AlertKind, Callable[[Alert, AlertSample], Observation]] = {
    "dead_letters": _count_of("dead"),
    "new_dead_letters": _new_dead_letters,
    "parked": _count_of("parked"),
    "backlog_size": _count_of("backlog"),
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
