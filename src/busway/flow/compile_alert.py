"""Compile the alerts that users declared: every mistake with its place and a fix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from busway.delivery.alert import Band
from busway.duration import seconds
from busway.errors import SettingsError
from busway.flow import condition as c
from busway.flow.alert import OF_ITSELF, Alert, AlertDeclaration, Kind, Unit
from busway.flow.size import size_bytes
from busway.parameter import holds_invalid
from busway.ports import Sink
from busway.spelling import hint, nearest

OPTIONS = ("hold", "clear_below", "clear_above", "clear_hold", "again")
_LONGEST_NAME = 100
_SOURCE = 500
"""The most characters of a source that is watched: the ledger keeps when it was seen by it."""

Parse = Callable[[object], float]


class _Measure(msgspec.Struct, frozen=True):
    """What a condition measures; ``limit`` names its threshold, which ``parse`` reads."""

    kind: Kind
    unit: Unit
    limit: str
    parse: Parse
    falling: bool = False


def compile_alerts(
    declarations: Sequence[AlertDeclaration], flows: Mapping[str, object], mistakes: list[str]
) -> tuple[Alert, ...]:
    """Return the alerts, ready to watch; ``flows`` are the sinks of the flows that there are."""
    found = [_Compiler(one, flows, mistakes).alert() for one in declarations]
    _note_clashes(declarations, mistakes)
    return tuple(alert for alert in found if alert is not None)


def _note_clashes(declarations: Sequence[AlertDeclaration], mistakes: list[str]) -> None:
    seen: dict[object, int] = {}
    for one in declarations:
        if isinstance(one.name, str) and seen.setdefault(one.name, one.line) != one.line:
            what = f"the alert at line {seen[one.name]} has this name too; give one another"
            mistakes.append(f"{one.file}:{one.line}: alert {one.name!r}: {what}")


class _Compiler:
    """Checks one declaration; notes each mistake and goes on."""

    def __init__(
        self, declaration: AlertDeclaration, flows: Mapping[str, object], mistakes: list[str]
    ) -> None:
        self._declaration = declaration
        self._flows = flows
        self._mistakes = mistakes

    def alert(self) -> Alert | None:
        """Return the alert, or ``None`` when a mistake was noted."""
        before, one = len(self._mistakes), self._declaration
        self._check_name()
        self._check_options()
        if holds_invalid(one.condition):
            return None
        if not isinstance(one.condition, c.Condition):
            what = f"its condition is {type(one.condition).__name__}"
            self._wrong(f"{what}; give one of busway.alerts, like dead_letters(flow='orders')")
            return None
        measure = _measure(one.condition)
        band = self._band(measure, one.condition)
        about = self._about(one.condition)
        about["again_s"] = self._again_s()
        if len(self._mistakes) > before or band is None:
            return None
        return Alert(
            name=str(one.name),
            kind=measure.kind,
            unit=measure.unit,
            band=band,
            place=f"{one.file}:{one.line}",
            **about,
        )

    def _wrong(self, what: str) -> None:
        one = self._declaration
        self._mistakes.append(f"{one.file}:{one.line}: alert {one.name!r}: {what}")

    def _check_name(self) -> None:
        name = self._declaration.name
        good = isinstance(name, str) and name.strip() == name and name.isprintable()
        if not good or not name or len(str(name)) > _LONGEST_NAME or set(":/") & set(str(name)):
            self._wrong(f"its name must be one line of up to {_LONGEST_NAME} characters, no : or /")
        elif name in (".", ".."):
            self._wrong("its name is part of a URL, where . and .. mean something else; add a word")
        elif name in OF_ITSELF:
            self._wrong("every flow has a built-in alert of this name; choose another name")

    def _check_options(self) -> None:
        for option in self._declaration.options:
            if option not in OPTIONS:
                near = nearest(option, OPTIONS)
                fix = f"did you mean {near!r}?" if near else f"known are {', '.join(OPTIONS)}"
                self._wrong(f"there is no option {option!r}; {fix}")

    def _band(self, measure: _Measure, condition: c.Condition) -> Band | None:
        raise_at = self._read(measure.limit, getattr(condition, measure.limit, 0), measure.parse)
        clear_at = self._clear_at(measure, raise_at)
        hold_s = self._read("hold", self._declaration.options.get("hold", 0), seconds)
        clear_hold = self._declaration.options.get("clear_hold", hold_s)
        clear_hold_s = self._read("clear_hold", 0 if clear_hold is None else clear_hold, seconds)
        if raise_at is None or clear_at is None or hold_s is None or clear_hold_s is None:
            return None
        return Band(raise_at, clear_at, hold_s, clear_hold_s, measure.falling)

    def _again_s(self) -> float | None:
        again = self._declaration.options.get("again")
        return 0.0 if again is None else self._read("again", again, _seconds_of_some)

    def _clear_at(self, measure: _Measure, raise_at: float | None) -> float | None:
        options = self._declaration.options
        right, wrong = ("clear_above", "clear_below")[:: 1 if measure.falling else -1]
        if wrong in options:
            self._wrong(f"{wrong} does not go with {measure.kind}; give {right}")
        if right not in options or raise_at is None:
            return raise_at
        clear_at = self._read(right, options[right], measure.parse)
        if clear_at is not None and (
            clear_at < raise_at if measure.falling else clear_at > raise_at
        ):
            side = "less" if measure.falling else "more"
            self._wrong(
                f"{right} is {side} than {measure.limit}: it would be raised and cleared at once;"
                f" give {measure.limit} and {right} the other way round"
            )
        return clear_at

    def _read(self, name: str, given: object, parse: Parse) -> float | None:
        try:
            return parse(given)
        except SettingsError as error:
            self._wrong(f"{name}: {error}")
            return None

    def _about(self, condition: c.Condition) -> dict[str, Any]:
        flow = getattr(condition, "flow", None)
        about: dict[str, Any] = {"flow": flow}
        if flow is not None and flow not in self._flows:
            self._unknown("flow", flow, list(self._flows))
        if isinstance(condition, c.BreakerOpen):
            about["destination"] = self._destination(condition)
        elif isinstance(condition, c.Silence):
            about["source"] = condition.source
            if not isinstance(condition.source, str) or not 0 < len(condition.source) <= _SOURCE:
                self._wrong(
                    "source: give the source of the events, like '/shop' or '/shop/*', of at most"
                    f" {_SOURCE} characters"
                )
        elif isinstance(condition, c.NewDeadLetters):
            about["over_s"] = self._read("within", condition.within, _seconds_of_some)
        elif isinstance(condition, c.ErrorRatio | c.Failing):
            about["over_s"] = self._read("over", condition.over, _seconds_of_some)
            about["least"] = self._read("least", condition.least, _count)
        return about

    def _destination(self, condition: c.BreakerOpen) -> str | None:
        given = condition.destination
        if given is not None and condition.flow is not None:
            self._wrong("give a flow or a destination, not both")
        if given is None:
            return None
        name = given.name if isinstance(given, Sink) else given
        names = sorted({one.name for one in self._flows.values() if isinstance(one, Sink)})
        if name not in names:
            self._unknown("destination", name, names)
        return str(name)

    def _unknown(self, what: str, given: object, known: Sequence[str]) -> None:
        self._wrong(f"there is no {what} {given!r}; {hint(str(given), known)}")


def _measure(condition: c.Condition) -> _Measure:
    if isinstance(condition, c.DiskFree) and str(condition.below).strip().endswith("%"):
        return _Measure("disk_free", "percent", "below", _percent, falling=True)
    return _MEASURES[type(condition)]


def _number(given: object) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < float("inf"):
        return float(given)
    raise SettingsError(f"{given!r} is no number of events; give 0 or more")


def _count(given: object) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    raise SettingsError(f"{given!r} is no number of events; give a whole number, 1 or more")


def _ratio(given: object) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < 1:
        return float(given)
    raise SettingsError(f"{given!r} is no share; give one from 0 to less than 1, like 0.05")


def _seconds_of_some(given: object) -> float:
    found = seconds(given)
    if not found:
        raise SettingsError(f"{given!r} is no time at all; give a longer one, like '5m'")
    return found


def _percent(given: object) -> float:
    try:
        found = float(given.strip().removesuffix("%")) if isinstance(given, str) else -1.0
    except ValueError:
        found = -1.0
    if not isinstance(given, str) or not given.strip().endswith("%") or not 0 <= found <= 100:
        raise SettingsError(f"{given!r} is no share of the disk; write it like '10%'")
    return found


_MEASURES: Mapping[type, _Measure] = {
    c.DeadLetters: _Measure("dead_letters", "events", "above", _number),
    c.NewDeadLetters: _Measure("new_dead_letters", "events", "above", _number),
    c.Failing: _Measure("failing", "ratio", "above", _ratio),
    c.Parked: _Measure("parked", "events", "above", _number),
    c.BacklogAge: _Measure("backlog_age", "seconds", "above", seconds),
    c.BacklogSize: _Measure("backlog_size", "events", "above", _number),
    c.BreakerOpen: _Measure("breaker_open", "destinations", "", _number),
    c.Silence: _Measure("silence", "seconds", "after", _seconds_of_some),
    c.ErrorRatio: _Measure("error_ratio", "ratio", "above", _ratio),
    c.DiskFree: _Measure("disk_free", "bytes", "below", size_bytes, falling=True),
    c.LogSize: _Measure("log_size", "bytes", "above", size_bytes),
}
