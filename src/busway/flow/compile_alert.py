"""The compiler of alerts: reports all mistakes, each with its location and a fix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from busway.declarable import contains_invalid
from busway.delivery.alert_state import AlertThresholds
from busway.duration import parse_seconds
from busway.errors import SettingsError
from busway.flow import condition as c
from busway.flow.alert import (
    BUILT_IN_KINDS,
    Alert,
    AlertDeclaration,
    AlertKind,
    AlertUnit,
)
from busway.flow.byte_size import parse_byte_size
from busway.ports import Sink
from busway.spelling import nearest, suggestion

OPTIONS = ("hold", "clear_below", "clear_above", "clear_hold", "repeat_every")
_MAX_NAME_LENGTH = 100
_MAX_SOURCE_LENGTH = 500
"""The maximum length of a watched source: the ledger stores when it was last seen."""

Parser = Callable[[object], float]


class _Measure(msgspec.Struct, frozen=True):
    """What a condition measures; ``limit`` is the name of its threshold, ``parse`` its parser."""

    kind: AlertKind
    unit: AlertUnit
    limit: str
    parse: Parser
    falling: bool = False


def compile_alerts(
    declarations: Sequence[AlertDeclaration], flows: Mapping[str, object], mistakes: list[str]
) -> tuple[Alert, ...]:
    """Return the compiled alerts; ``flows`` maps the names of the flows to their sinks."""
    alerts = [_AlertCompiler(declaration, flows, mistakes).alert() for declaration in declarations]
    _add_name_clashes(declarations, mistakes)
    return tuple(alert for alert in alerts if alert is not None)


def _add_name_clashes(declarations: Sequence[AlertDeclaration], mistakes: list[str]) -> None:
    lines: dict[object, int] = {}
    for declaration in declarations:
        if (
            isinstance(declaration.name, str)
            and lines.setdefault(declaration.name, declaration.line) != declaration.line
        ):
            what = f"the alert at line {lines[declaration.name]} has the same name; rename one"
            mistakes.append(
                f"{declaration.file}:{declaration.line}: alert {declaration.name!r}: {what}"
            )


class _AlertCompiler:
    """Compiles one declaration; collects its mistakes."""

    def __init__(
        self, declaration: AlertDeclaration, flows: Mapping[str, object], mistakes: list[str]
    ) -> None:
        self._declaration = declaration
        self._flows = flows
        self._mistakes = mistakes

    def alert(self) -> Alert | None:
        """Return the alert, or ``None`` if it has mistakes."""
        before, declaration = len(self._mistakes), self._declaration
        self._check_name()
        self._check_options()
        if contains_invalid(declaration.condition):
            return None
        if not isinstance(declaration.condition, c.Condition):
            kind = type(declaration.condition).__name__
            fix = "use one of busway.alerts, like dead_letters(flow='orders')"
            self._add_mistake(f"invalid condition of type {kind}: {fix}")
            return None
        measure = _measure_of(declaration.condition)
        band = self._band(measure, declaration.condition)
        target = self._target_fields(declaration.condition)
        target["repeat_every_s"] = self._repeat_every_s()
        if len(self._mistakes) > before or band is None:
            return None
        return Alert(
            name=str(declaration.name),
            kind=measure.kind,
            unit=measure.unit,
            band=band,
            location=f"{declaration.file}:{declaration.line}",
            **target,
        )

    def _add_mistake(self, what: str) -> None:
        declaration = self._declaration
        self._mistakes.append(
            f"{declaration.file}:{declaration.line}: alert {declaration.name!r}: {what}"
        )

    def _check_name(self) -> None:
        name = self._declaration.name
        good = isinstance(name, str) and name.strip() == name and name.isprintable()
        if not good or not name or len(str(name)) > _MAX_NAME_LENGTH or set(":/") & set(str(name)):
            self._add_mistake(
                f"invalid name: use one line of 1 to {_MAX_NAME_LENGTH} characters without : or /"
            )
        elif name in (".", ".."):
            self._add_mistake(
                "invalid name: it is part of a URL, where . and .. have a meaning; use a word"
            )
        elif name in BUILT_IN_KINDS:
            self._add_mistake("invalid name: every flow has a built-in alert of this name")

    def _check_options(self) -> None:
        for option in self._declaration.options:
            if option not in OPTIONS:
                near = nearest(option, OPTIONS)
                fix = f"did you mean {near!r}?" if near else f"use one of {', '.join(OPTIONS)}"
                self._add_mistake(f"unknown option {option!r}: {fix}")

    def _band(self, measure: _Measure, condition: c.Condition) -> AlertThresholds | None:
        raise_at = self._read(measure.limit, getattr(condition, measure.limit, 0), measure.parse)
        clear_at = self._clear_at(measure, raise_at)
        hold_s = self._read("hold", self._declaration.options.get("hold", 0), parse_seconds)
        clear_hold = self._declaration.options.get("clear_hold", hold_s)
        clear_hold_s = self._read(
            "clear_hold", 0 if clear_hold is None else clear_hold, parse_seconds
        )
        if raise_at is None or clear_at is None or hold_s is None or clear_hold_s is None:
            return None
        return AlertThresholds(raise_at, clear_at, hold_s, clear_hold_s, measure.falling)

    def _repeat_every_s(self) -> float | None:
        interval = self._declaration.options.get("repeat_every")
        return 0.0 if interval is None else self._read("repeat_every", interval, _positive_seconds)

    def _clear_at(self, measure: _Measure, raise_at: float | None) -> float | None:
        options = self._declaration.options
        right, wrong = ("clear_above", "clear_below")[:: 1 if measure.falling else -1]
        if wrong in options:
            self._add_mistake(f"{wrong} does not apply to {measure.kind}; use {right}")
        if right not in options or raise_at is None:
            return raise_at
        clear_at = self._read(right, options[right], measure.parse)
        if clear_at is not None and (
            clear_at < raise_at if measure.falling else clear_at > raise_at
        ):
            side = "less" if measure.falling else "more"
            self._add_mistake(
                f"{right} is {side} than {measure.limit}, so that the alert would be raised and"
                f" cleared at once; swap {measure.limit} and {right}"
            )
        return clear_at

    def _read(self, name: str, value: object, parse: Parser) -> float | None:
        try:
            return parse(value)
        except SettingsError as error:
            self._add_mistake(f"{name}: {error}")
            return None

    def _target_fields(self, condition: c.Condition) -> dict[str, Any]:
        flow = getattr(condition, "flow", None)
        fields: dict[str, Any] = {"flow": flow}
        if flow is not None and flow not in self._flows:
            self._add_unknown("flow", flow, list(self._flows))
        if isinstance(condition, c.BreakerOpen):
            fields["destination"] = self._destination(condition)
        elif isinstance(condition, c.Silence):
            fields["source"] = condition.source
            if (
                not isinstance(condition.source, str)
                or not 0 < len(condition.source) <= _MAX_SOURCE_LENGTH
            ):
                self._add_mistake(
                    "invalid source: use the source of the events, like '/shop' or '/shop/*', of at"
                    f" most {_MAX_SOURCE_LENGTH} characters"
                )
        elif isinstance(condition, c.NewDeadLetters):
            fields["window_s"] = self._read("within", condition.within, _positive_seconds)
        elif isinstance(condition, c.ErrorRatio | c.Failing):
            fields["window_s"] = self._read("over", condition.over, _positive_seconds)
            fields["min_events"] = self._read("min_events", condition.min_events, _count)
        return fields

    def _destination(self, condition: c.BreakerOpen) -> str | None:
        given = condition.destination
        if given is not None and condition.flow is not None:
            self._add_mistake("flow and destination exclude each other; use one of them")
        if given is None:
            return None
        name = given.name if isinstance(given, Sink) else given
        names = sorted({sink.name for sink in self._flows.values() if isinstance(sink, Sink)})
        if name not in names:
            self._add_unknown("destination", name, names)
        return str(name)

    def _add_unknown(self, what: str, given: object, known: Sequence[str]) -> None:
        self._add_mistake(f"unknown {what} {given!r}: {suggestion(str(given), known)}")


def _measure_of(condition: c.Condition) -> _Measure:
    if isinstance(condition, c.DiskFree) and str(condition.below).strip().endswith("%"):
        return _Measure("disk_free", "percent", "below", _percent, falling=True)
    return _MEASURES[type(condition)]


def _number(given: object) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < float("inf"):
        return float(given)
    raise SettingsError(f"invalid number of events {given!r}: use a number >= 0")


def _count(given: object) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    raise SettingsError(f"invalid number of events {given!r}: use an integer >= 1")


def _ratio(given: object) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < 1:
        return float(given)
    raise SettingsError(f"invalid ratio {given!r}: use a number >= 0 and < 1, like 0.05")


def _positive_seconds(given: object) -> float:
    seconds = parse_seconds(given)
    if not seconds:
        raise SettingsError(f"invalid duration {given!r}: use a duration > 0, like '5m'")
    return seconds


def _percent(given: object) -> float:
    try:
        percent = float(given.strip().removesuffix("%")) if isinstance(given, str) else -1.0
    except ValueError:
        percent = -1.0
    if not isinstance(given, str) or not given.strip().endswith("%") or not 0 <= percent <= 100:
        raise SettingsError(f"invalid share of the disk {given!r}: use a value like '10%'")
    return percent


_MEASURES: Mapping[type, _Measure] = {
    c.DeadLetters: _Measure("dead_letters", "events", "above", _number),
    c.NewDeadLetters: _Measure("new_dead_letters", "events", "above", _number),
    c.Failing: _Measure("failing", "ratio", "above", _ratio),
    c.Parked: _Measure("parked", "events", "above", _number),
    c.BacklogAge: _Measure("backlog_age", "seconds", "above", parse_seconds),
    c.BacklogSize: _Measure("backlog_size", "events", "above", _number),
    c.BreakerOpen: _Measure("breaker_open", "destinations", "", _number),
    c.Silence: _Measure("silence", "seconds", "after", _positive_seconds),
    c.ErrorRatio: _Measure("error_ratio", "ratio", "above", _ratio),
    c.DiskFree: _Measure("disk_free", "bytes", "below", parse_byte_size, falling=True),
    c.LogSize: _Measure("log_size", "bytes", "above", parse_byte_size),
}
