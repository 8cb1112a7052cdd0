"""What a step returned, as a list of results; and what it raised, as a record.

A result is taken when it is returned or yielded: what the step does to it later changes nothing.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from gc import is_tracked
from typing import Any
from uuid import UUID

import msgspec

from busway.errors import EventError
from busway.event import Event, snapshot
from busway.exception_text import exception_text
from busway.json_text import SameKeys, check_keys
from busway.package import missing_module
from busway.step.step import Failed, Produced, Results

_FIXED = frozenset(
    {str, int, float, bool, type(None), bytes, Decimal, datetime, date, time, timedelta, UUID}
)
"""Types whose values nobody can change."""
_KEPT = (bytes, bytearray, datetime, date, time, timedelta, UUID, Decimal)
_NOT_SEVERAL = str | bytes | bytearray | memoryview
_OWN = "busway/step/"


def produced(value: object) -> Produced:
    """Return what a step returned as results, or why it cannot be.

    Runs a generator to its end, so it may raise what the generator raises.
    """
    if value is None:
        return []
    try:
        single = taken(value)
    except EventError as error:
        return failed(error)
    if single is not None:
        return [single]
    if isinstance(value, Iterable) and not isinstance(value, _NOT_SEVERAL):
        return _several(value)
    return _wrong(value)


def aligned(values: object, expected: int) -> list[Produced] | Failed:
    """Return what a whole-batch step gave for each event, or why it is not one value an event."""
    single = isinstance(values, _NOT_SEVERAL | Mapping | Event | msgspec.Struct)
    if single or not isinstance(values, Iterable):
        kind = type(values).__name__
        return Failed("WrongResult", f"a batch step must return a list, not {kind}; {_ONE_EACH}")
    found: list[Produced] = []
    for value in values:
        if len(found) == expected:
            return Failed("WrongResult", f"{_ONE_EACH}: {expected}, not more")
        found.append(_one_of_batch(value))
    if len(found) < expected:
        return Failed("WrongResult", f"{_ONE_EACH}: {expected}, not {len(found)}")
    return found


_ONE_EACH = "a batch step must return one result an event"


def _one_of_batch(value: object) -> Produced:
    """Return one event's value as results; what is raised on the way is this event's failure."""
    try:
        return produced(value)
    except Exception as error:
        return failed(error)


def _several(values: Iterable[object]) -> Produced:
    results: Results = []
    for value in values:
        record = taken(value)
        if record is not None:
            results.append(record)
        elif value is not None:
            return _wrong(value)
    return results


def taken(value: Any) -> object | None:
    """Return a single result as it is now, ``None`` where the value is none.

    Raises :class:`EventError` for one of which no copy can be made.
    """
    kind = type(value)
    if kind is dict:
        return own(value)
    if isinstance(value, Event):
        return snapshot(value)
    if isinstance(value, Mapping):
        return own(dict(value))
    if isinstance(value, msgspec.Struct):
        return own(msgspec.structs.asdict(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return own(dataclasses.asdict(value))
    return None


def own(row: dict[Any, Any]) -> dict[Any, Any]:
    """Return a copy of a dict that shares no list, dict or the like with it."""
    if not is_tracked(row):  # the garbage collector knows that it holds nothing of that kind
        return row.copy()
    return {key: one if type(one) in _FIXED else _copied(key, one) for key, one in row.items()}


def _copied(key: object, value: Any) -> object:
    if type(value) is dict or type(value) is list:
        try:
            check_keys(value)
            return msgspec.to_builtins(value, builtin_types=_KEPT)
        except RecursionError as error:
            raise EventError(f"{key!r} contains itself, or goes too deep") from error
        except SameKeys as error:
            raise EventError(f"{key!r}: {error}") from error
        except (TypeError, ValueError):
            pass  # there is something in it that only Python has
    try:
        return copy.deepcopy(value)
    except Exception as error:
        what = f"{key!r} is of type {type(value).__name__}, which cannot be copied"
        raise EventError(what) from error


def _wrong(value: object) -> Failed:
    kind = type(value).__name__
    advice = "return None, a dict, an Event, or an iterable of dicts and Events"
    return Failed("WrongResult", f"the step returned {kind}; {advice}")


def failed(error: BaseException, took_s: float | None = None) -> Failed:
    """Return the record of what a step raised; the traceback begins in the step itself.

    ``took_s`` is how long the call took, in seconds.
    """
    text = exception_text(error, _OWN)
    took_ms = None if took_s is None else round(took_s * 1000, 3)
    shown = text.traceback
    if type(error) is ModuleNotFoundError and error.name:
        shown = f"{shown.rstrip()}\n{missing_module(error.name)}\n"
    return Failed(text.name, text.reason, shown, took_ms)


def as_event(cause: Event, result: object) -> Event:
    """Return a result as the event that the next step gets: a dict replaces the data."""
    return result if isinstance(result, Event) else cause.replace(data=result)
