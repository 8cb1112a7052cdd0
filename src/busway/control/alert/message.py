"""The text of an alert: one sentence for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from busway.flow.alert import Alert, AlertKind, AlertUnit


def alert_text(alert: Alert, value: float | None, detail: str = "") -> str:
    """Return the observed value and the threshold as a sentence.

    >>> from busway.delivery.alert_state import AlertThresholds
    >>> alert = Alert(
    ...     name="a", kind="backlog_age", unit="seconds", flow="orders",
    ...     band=AlertThresholds(300, 300),
    ... )
    >>> alert_text(alert, 754.2)
    "the backlog of flow 'orders' is 12m34s old (raised above 5m)"
    """
    shown = "an unknown number" if value is None else format_value(alert.unit, value)
    text = _SENTENCES[alert.kind](alert, shown)
    limit = f"raised {'below' if alert.band.is_lower_bound else 'above'} {threshold_text(alert)}"
    if alert.kind in ("breaker_open", "gone", "stuck"):
        limit = ""
    more = "; ".join(part for part in (detail, limit) if part)
    return f"{text} ({more})" if more else text


def change_message(
    alert: Alert, text: str, *, raised: bool, since: datetime | None = None, cause: str = ""
) -> str:
    """Return the message of a change; ``since`` is given if the alert was raised before.

    >>> from datetime import UTC
    >>> from busway.delivery.alert_state import AlertThresholds
    >>> band = AlertThresholds(300, 300)
    >>> alert = Alert(name="late", kind="backlog_age", unit="seconds", band=band)
    >>> change_message(alert, "the backlog is 5m old", raised=True)
    'RAISED late: the backlog is 5m old'
    >>> change_message(alert, "it is old", raised=True, since=datetime(2030, 1, 1, 12, tzinfo=UTC))
    'RAISED late: it is old; raised since 2030-01-01 12:00:00 UTC'
    """
    parts = [f"{'RAISED' if raised else 'CLEARED'} {alert.title}: {text}"]
    parts += [f"root cause: {cause}"] if cause else []
    parts += [f"raised since {since:%F %T} UTC"] if since is not None else []
    return "; ".join(parts)


def threshold_text(alert: Alert) -> str:
    """Return the threshold of an alert, for people."""
    return format_value(alert.unit, alert.band.raise_at)


def format_value(unit: AlertUnit, value: float) -> str:
    """Return a value with its unit, for people.

    >>> (format_value("seconds", 3725), format_value("bytes", 1_250_000),
    ...  format_value("ratio", 0.071))
    ('1h2m5s', '1.25 MB', '7.1 %')
    """
    match unit:
        case "seconds":
            return _format_duration(value)
        case "bytes":
            return _format_size(value)
        case "ratio":
            return f"{100 * value:.3g} %"
        case "percent":
            return f"{value:.3g} %"
        case _:
            return f"{value:,.10g}"


def _format_duration(value: float) -> str:
    if value < 10 and value != int(value):
        return f"{value:.1f}s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{name}" for number, name in parts if number) or "0s"


def _format_size(value: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def _scope_text(alert: Alert) -> str:
    return "all flows" if alert.flow is None else f"flow {alert.flow!r}"


def _count_text(shown: str, noun: str) -> str:
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"


def _breaker_open_text(alert: Alert, shown: str) -> str:
    if alert.destination is not None:
        subject = f"the destination {alert.destination}"
    elif alert.flow is not None:
        subject = f"the destination of flow {alert.flow!r}"
    else:
        return f"{shown} of the destinations take nothing now"
    return f"{subject} {'takes events' if shown == '0' else 'takes nothing now'}"


def _gone_text(alert: Alert, shown: str) -> str:
    if shown == "0":
        return f"flow {alert.flow!r} delivers to {alert.destination} again"
    return (
        f"flow {alert.flow!r} is stopped: {alert.destination} asks never to be called again;"
        " give the flow another destination, or resume this one to try it once more"
    )


def _stuck_text(alert: Alert, shown: str) -> str:
    subject = "Busway itself" if alert.flow is None else f"flow {alert.flow!r}"
    return f"{subject} goes on again" if shown == "0" else f"{subject} cannot go on"


_SENTENCES: Mapping[AlertKind, Callable[[Alert, str], str]] = {
    "dead_letters": lambda alert, shown: (
        f"{_count_text(shown, 'dead letter')} of {_scope_text(alert)}"
    ),
    "new_dead_letters": lambda alert, shown: (
        f"{_count_text(shown, 'new dead letter')} of {_scope_text(alert)}"
        f" within {format_value('seconds', alert.window_s)}"
    ),
    "parked": lambda alert, shown: f"{_count_text(shown, 'parked event')} of {_scope_text(alert)}",
    "backlog_size": lambda alert, shown: (
        f"{_count_text(shown, 'event')} in the backlog of {_scope_text(alert)}"
    ),
    "backlog_age": lambda alert, shown: f"the backlog of {_scope_text(alert)} is {shown} old",
    "breaker_open": _breaker_open_text,
    "gone": _gone_text,
    "stuck": _stuck_text,
    "silence": lambda alert, shown: f"no event from {alert.source} for {shown}",
    "failing": lambda alert, shown: (
        f"{shown} of what {_scope_text(alert)} worked on within"
        f" {format_value('seconds', alert.window_s)}"
        " stands as failed"
    ),
    "error_ratio": lambda alert, shown: (
        f"{shown} of the events of {_scope_text(alert)} failed within"
        f" {format_value('seconds', alert.window_s)}"
    ),
    "disk_free": lambda _, shown: f"{shown} of the disk is free",
    "log_size": lambda _, shown: f"the log takes up {shown}",
}
