"""Evaluate the condition of an alert: its value, and a detail for people."""

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
    """Everything that conditions are evaluated against, sampled at one time.

    ``silent_s`` is the time since the last event of each source. ``failure_ratios`` and
    ``new_dead_letters`` have the share of failed events and the number of new dead letters of
    each alert.
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
    """A value in the unit of its alert (``None`` if unknown), and a detail for people."""

    value: float | None
    detail: str = ""


def evaluate_condition(alert: Alert, sample: AlertSample) -> Observation:
    """Return the observation of an alert in a sample."""
    return _OBSERVERS[alert.kind](alert, sample)


def _flows_of_alert(alert: Alert, sample: AlertSample) -> Sequence[FlowStatus]:
    return [flow for flow in sample.flows if alert.flow in (None, flow.name)]


def _count_of(attribute: str) -> Callable[[Alert, AlertSample], Observation]:
    def observe(alert: Alert, sample: AlertSample) -> Observation:
        flows = _flows_of_alert(alert, sample)
        worst = max(flows, key=lambda flow: int(getattr(flow, attribute)), default=None)
        detail = "" if alert.flow or worst is None else f"most of them of flow {worst.name!r}"
        value = sum(getattr(flow, attribute) for flow in flows)
        return Observation(value, detail if value else "")

    return observe


def _backlog_age(alert: Alert, sample: AlertSample) -> Observation:
    since = {
        flow.name: flow.waiting_since
        for flow in _flows_of_alert(alert, sample)
        if flow.waiting_since is not None
    }
    if not since:
        return Observation(0.0)
    oldest = min(since, key=since.__getitem__)
    age_s = max(0.0, (sample.at - since[oldest]).total_seconds())
    return Observation(age_s, "" if alert.flow else f"that of flow {oldest!r}")


def _breaker_open(alert: Alert, sample: AlertSample) -> Observation:
    """Count the destinations whose breaker is not closed."""
    open_at = {
        flow.destination: flow
        for flow in _flows_of_alert(alert, sample)
        if flow.declared
        and flow.breaker != "closed"
        and alert.destination in (None, flow.destination)
    }
    details = [f"{name}: {flow.breaker_reason or flow.breaker}" for name, flow in open_at.items()]
    return Observation(len(open_at), "; ".join(details))


def _gone(alert: Alert, sample: AlertSample) -> Observation:
    gone = [flow for flow in _flows_of_alert(alert, sample) if flow.breaker == "gone"]
    return Observation(len(gone), "; ".join(flow.breaker_reason for flow in gone))


def _stuck(alert: Alert, sample: AlertSample) -> Observation:
    """Count the loops that keep failing: those of the alert's flow, or of no flow."""
    records = [record for record in sample.stuck if record.flow == (alert.flow or "")]
    return Observation(len(records), "; ".join(record.text for record in records))


def _silence(alert: Alert, sample: AlertSample) -> Observation:
    return Observation(sample.silent_s.get(alert.source or ""))


def _error_ratio(alert: Alert, sample: AlertSample) -> Observation:
    return Observation(sample.failure_ratios.get(alert.name))


def _new_dead_letters(alert: Alert, sample: AlertSample) -> Observation:
    return Observation(sample.new_dead_letters.get(alert.name))


def _disk_free(alert: Alert, sample: AlertSample) -> Observation:
    disk = sample.disk
    if disk is None:
        return Observation(None, "the stores are not on a local disk")
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
