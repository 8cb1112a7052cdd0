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
from busway.json_text import DuplicateKeys, check_keys
from busway.missing_package import missing_module
from busway.step.step import Results, StepFailure, StepResult

_IMMUTABLE_TYPES = frozenset(
    {str, int, float, bool, type(None), bytes, Decimal, datetime, date, time, timedelta, UUID}
)
"""Types with immutable values."""
_BUILTIN_TYPES = (bytes, bytearray, datetime, date, time, timedelta, UUID, Decimal)
_SINGLE_VALUES = str | bytes | bytearray | memoryview
_OWN_PATH = "busway/step/"


def as_results(value: object) -> StepResult:
    """Return a step's return value as results, or the failure.

    Runs a generator to its end, so it may raise what the generator raises.
    """
    if value is None:
        return []
    try:
        single = copied_result(value)
    except EventError as error:
        return step_failure(error)
    if single is not None:
        return [single]
    if isinstance(value, Iterable) and not isinstance(value, _SINGLE_VALUES):
        return _results_of_iterable(value)
    return _wrong_result(value)


def batch_results(values: object, expected: int) -> list[StepResult] | StepFailure:
    """Return what a whole-batch step gave for each event, or why it is not one value an event."""
    single = isinstance(values, _SINGLE_VALUES | Mapping | Event | msgspec.Struct)
    if single or not isinstance(values, Iterable):
        kind = type(values).__name__
        return StepFailure(
            "WrongResult", f"a batch step must return a list, not {kind}; {_ONE_EACH}"
        )
    found: list[StepResult] = []
    for value in values:
        if len(found) == expected:
            return StepFailure("WrongResult", f"{_ONE_EACH}: {expected}, not more")
        found.append(_results_of_event(value))
    if len(found) < expected:
        return StepFailure("WrongResult", f"{_ONE_EACH}: {expected}, not {len(found)}")
    return found


_ONE_EACH = "a batch step must return one result an event"


def _results_of_event(value: object) -> StepResult:
    """Return one event's value as results; what is raised on the way is this event's failure."""
    try:
        return as_results(value)
    except Exception as error:
        return step_failure(error)


def _results_of_iterable(values: Iterable[object]) -> StepResult:
    results: Results = []
    for value in values:
        record = copied_result(value)
        if record is not None:
            results.append(record)
        elif value is not None:
            return _wrong_result(value)
    return results


def copied_result(value: Any) -> object | None:
    """Return a single result as it is now, ``None`` where the value is none.

    Raises :class:`EventError` for one of which no copy can be made.
    """
    kind = type(value)
    if kind is dict:
        return independent_copy(value)
    if isinstance(value, Event):
        return snapshot(value)
    if isinstance(value, Mapping):
        return independent_copy(dict(value))
    if isinstance(value, msgspec.Struct):
        return independent_copy(msgspec.structs.asdict(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return independent_copy(dataclasses.asdict(value))
    return None


def independent_copy(row: dict[Any, Any]) -> dict[Any, Any]:
    """Return a copy of a dict that shares no mutable value with it."""
    if not is_tracked(row):  # the garbage collector knows that it holds nothing of that kind
        return row.copy()
    return {
        key: one if type(one) in _IMMUTABLE_TYPES else _copied(key, one) for key, one in row.items()
    }


def _copied(key: object, value: Any) -> object:
    if type(value) is dict or type(value) is list:
        try:
            check_keys(value)
            return msgspec.to_builtins(value, builtin_types=_BUILTIN_TYPES)
        except RecursionError as error:
            raise EventError(f"{key!r} contains itself, or goes too deep") from error
        except DuplicateKeys as error:
            raise EventError(f"{key!r}: {error}") from error
        except (TypeError, ValueError):
            pass  # there is something in it that only Python has
    try:
        return copy.deepcopy(value)
    except Exception as error:
        what = f"{key!r} is of type {type(value).__name__}, which cannot be copied"
        raise EventError(what) from error


def _wrong_result(value: object) -> StepFailure:
    kind = type(value).__name__
    advice = "return None, a dict, an Event, or an iterable of dicts and Events"
    return StepFailure("WrongResult", f"the step returned {kind}; {advice}")


def step_failure(error: BaseException, took_s: float | None = None) -> StepFailure:
    """Return the record of what a step raised; the traceback begins in the step itself.

    ``took_s`` is how long the call took, in seconds.
    """
    text = exception_text(error, _OWN_PATH)
    took_ms = None if took_s is None else round(took_s * 1000, 3)
    shown = text.traceback
    if type(error) is ModuleNotFoundError and error.name:
        shown = f"{shown.rstrip()}\n{missing_module(error.name)}\n"
    return StepFailure(text.name, text.reason, shown, took_ms)


def as_event(cause: Event, result: object) -> Event:
    """Return a result as the event that the next step gets: a dict replaces the data."""
    return result if isinstance(result, Event) else cause.replace(data=result)
