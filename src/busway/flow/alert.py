"""A compiled alert: what it measures, and when it is raised and cleared."""

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
"""Kinds of alerts that exist without a declaration."""
GONE_CLEAR_HOLD_S = 60.0
"""How long after a resume the alert stays raised: the destination may be gone again."""


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
"""Kinds of alerts about one flow: declared without a flow, they are watched for each flow."""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one alert measures, in which unit, of which flow, destination or source.

    ``name`` is unique. ``declared_name`` is the name of its declaration if that is watched for each
    flow or destination. A raised alert is repeated every ``repeat_every_s`` (0: never).
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
        """The declared name."""
        return self.declared_name or self.name


class AlertDeclaration(msgspec.Struct):
    """An alert as declared, unchecked, with its location."""

    file: str
    line: int
    name: object
    condition: object
    options: dict[str, Any]


def expand(alert: Alert, flows: Iterable[str], destinations: Iterable[str]) -> Sequence[Alert]:
    """Return the alerts to watch for a declared one: one per flow or destination if it names none.

    >>> parked = Alert(name="failed", kind="parked", unit="events", band=AlertThresholds(0, 0))
    >>> [(alert.name, alert.flow) for alert in expand(parked, ["orders", "mail"], [])]
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
    """Return the built-in alert of a flow whose destination is gone for good."""
    return Alert(
        name=f"gone:{flow}",
        kind="gone",
        unit="destinations",
        band=AlertThresholds(0.0, 0.0, clear_after_s=GONE_CLEAR_HOLD_S),
        flow=flow,
        destination=destination,
    )


def stuck_alert(flow: str | None) -> Alert:
    """Return the built-in alert of a flow, or of Busway itself, whose loop cannot continue."""
    name = "stuck" if flow is None else f"stuck:{flow}"
    return Alert(name=name, kind="stuck", unit="loops", band=AlertThresholds(0.0, 0.0), flow=flow)
