"""What a step returned, as a list of results; and what it raised, as a record."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from busway.errors import EventError
from busway.event import Event
from busway.step.step import Failed, Produced, Results

_LONGEST_TEXT = 4_000


def produced(value: object) -> Produced:
    """Return what a step returned as results, or why it cannot be.

    Runs a generator to its end, so it may raise what the generator raises.
    """
    kind = type(value)
    if kind is dict or kind is Event:
        return [value]
    if value is None:
        return []
    single = _record(value)
    if single is not None:
        return [single]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | memoryview):
        return _several(value)
    return _wrong(value)


def _several(values: Iterable[object]) -> Produced:
    results: Results = []
    for value in values:
        record = _record(value)
        if record is not None:
            results.append(record)
        elif value is not None:
            return _wrong(value)
    return results


def _record(value: Any) -> object | None:
    if isinstance(value, Event | dict):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return None


def _wrong(value: object) -> Failed:
    kind = type(value).__name__
    advice = "return None, a dict, an Event, or an iterable of dicts and Events"
    return Failed("WrongResult", f"the step returned {kind}; {advice}")


def failed(error: BaseException, took_s: float | None = None) -> Failed:
    """Return the record of what a step raised; the traceback begins in the step itself.

    ``took_s`` is how long the call took, in seconds.
    """
    frames = error.__traceback__
    while frames is not None and "busway/step/" in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    try:
        reason = str(error)
    except Exception:
        reason = "(its text cannot be shown)"
    text = "".join(traceback.format_exception(type(error), error, frames))
    name = type(error).__qualname__
    took_ms = None if took_s is None else round(took_s * 1000, 3)
    shown = _writable(reason[:_LONGEST_TEXT]), _writable(text[-_LONGEST_TEXT:])
    return Failed(name, *shown, took_ms)


def _writable(text: str) -> str:
    """Return a text without what UTF-8 cannot say."""
    return text.encode("utf-8", "backslashreplace").decode()


def as_event(cause: Event, result: object) -> Event:
    """Return a result as the event that the next step gets: a dict replaces the data."""
    if isinstance(result, Event):
        return result
    try:
        return cause.replace(data=result)
    except TypeError as error:
        raise EventError(f"the result cannot be written as JSON: {error}") from error
