"""An alert, compiled: what it measures, and when it is raised and cleared."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from busway.delivery.alert import Band

Kind = Literal[
    "dead_letters",
    "parked",
    "backlog_age",
    "backlog_size",
    "breaker_open",
    "silence",
    "error_ratio",
    "disk_free",
    "log_size",
    "gone",
    "stuck",
]
Unit = Literal["events", "destinations", "loops", "seconds", "ratio", "percent", "bytes"]

OF_ITSELF = frozenset({"gone", "stuck"})
"""Kinds of alerts that nobody declares."""
GONE_CLEAR_HOLD_S = 60.0
"""How long a destination must be taken for well after it was resumed: it may say so again."""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one alert measures, in which unit, of which flow, destination or source (or all)."""

    name: str
    kind: Kind
    unit: Unit
    band: Band
    flow: str | None = None
    destination: str | None = None
    source: str | None = None
    over_s: float = 0.0
    least: int = 1
    place: str = ""
    """Where it is declared, as ``file:line``."""


class AlertDeclaration(msgspec.Struct):
    """One alert as its author wrote it, unchecked, and where."""

    file: str
    line: int
    name: object
    condition: object
    options: dict[str, Any]


def gone(flow: str, destination: str) -> Alert:
    """Return the alert that each flow has by itself: its destination said never to call again."""
    return Alert(
        name=f"gone:{flow}",
        kind="gone",
        unit="destinations",
        band=Band(0.0, 0.0, clear_hold_s=GONE_CLEAR_HOLD_S),
        flow=flow,
        destination=destination,
    )


def stuck(flow: str | None) -> Alert:
    """Return the alert that each flow has by itself, and Busway for the rest: it cannot go on."""
    name = "stuck" if flow is None else f"stuck:{flow}"
    return Alert(name=name, kind="stuck", unit="loops", band=Band(0.0, 0.0), flow=flow)
