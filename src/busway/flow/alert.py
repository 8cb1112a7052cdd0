"""An alert, compiled: what it measures, and when it is raised and cleared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from busway.delivery.alert_state import AlertThresholds

AlertKind = Literal[
    "dead_letters",
    "new_dead_letters",
    "parked",
    "backlog_age",
    "backlog_size",
    "breaker_open",
    "silence",
    "failing",
    "error_ratio",
    "disk_free",
    "log_size",
    "gone",
    "stuck",
]
AlertUnit = Literal["events", "destinations", "loops", "seconds", "ratio", "percent", "bytes"]

BUILT_IN_KINDS = frozenset({"gone", "stuck"})
"""Kinds of alerts that nobody declares."""
GONE_CLEAR_HOLD_S = 60.0
"""How long a destination must be taken for well after it was resumed: it may say so again."""


PER_FLOW_KINDS: frozenset[AlertKind] = frozenset(
    (
        "dead_letters",
        "new_dead_letters",
        "parked",
        "backlog_age",
        "backlog_size",
        "error_ratio",
        "failing",
    )
)
"""What is about one flow: declared without one, it is watched for each flow."""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one alert measures, in which unit, of which flow, destination or source.

    ``name`` is its own. Of a declaration that is watched for each flow or destination,
    ``declared_name`` is the declaration's name. While it is raised it is told again every
    ``repeat_every_s`` (0: never).
    """

    name: str
    declared_name: str = ""
    kind: AlertKind
    unit: AlertUnit
    band: AlertThresholds
    flow: str | None = None
    destination: str | None = None
    source: str | None = None
    window_s: float = 0.0
    min_events: int = 1
    repeat_every_s: float = 0.0
    location: str = ""
    """Where it is declared, as ``file:line``."""

    @property
    def title(self) -> str:
        """The name that its author gave it."""
        return self.declared_name or self.name


class AlertDeclaration(msgspec.Struct):
    """One alert as its author wrote it, unchecked, and where."""

    file: str
    line: int
    name: object
    condition: object
    options: dict[str, Any]


def expand(alert: Alert, flows: Iterable[str], destinations: Iterable[str]) -> Sequence[Alert]:
    """Return what is watched for a declared alert: one for each flow or destination it is about.

    >>> parked = Alert(name="failed", kind="parked", unit="events", band=AlertThresholds(0, 0))
    >>> [(one.name, one.flow) for one in expand(parked, ["orders", "mail"], [])]
    [('failed:orders', 'orders'), ('failed:mail', 'mail')]
    """
    if alert.kind in PER_FLOW_KINDS and alert.flow is None:
        return [
            replace(alert, name=f"{alert.name}:{flow}", declared_name=alert.name, flow=flow)
            for flow in flows
        ]
    if alert.kind == "breaker_open" and alert.flow is None and alert.destination is None:
        return [
            replace(
                alert,
                name=f"{alert.name}:{destination}",
                declared_name=alert.name,
                destination=destination,
            )
            for destination in destinations
        ]
    return [alert]


def gone_alert(flow: str, destination: str) -> Alert:
    """Return the alert that each flow has by itself: its destination said never to call again."""
    return Alert(
        name=f"gone:{flow}",
        kind="gone",
        unit="destinations",
        band=AlertThresholds(0.0, 0.0, clear_after_s=GONE_CLEAR_HOLD_S),
        flow=flow,
        destination=destination,
    )


def stuck_alert(flow: str | None) -> Alert:
    """Return the alert that each flow has by itself, and Busway for the rest: it cannot go on."""
    name = "stuck" if flow is None else f"stuck:{flow}"
    return Alert(name=name, kind="stuck", unit="loops", band=AlertThresholds(0.0, 0.0), flow=flow)
