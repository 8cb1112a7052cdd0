"""What a request brings: from a body to events that are sure to be good, or to a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Raw

from busway.event import Event
from busway.ports import Addressed, DecodedEvents, EventFault, RequestRefusal
from busway.source.http.arrival import (
    MAX_DEPTH,
    NOT_PLAIN,
    PlainArrival,
    examine,
    read_extended,
    read_plain,
    suspicious,
    too_deep,
    trusty,
)
from busway.source.http.problem import COUNTED_FAULTS, events_too_large, invalid, malformed

_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_FEW_LINES, _SHORTEST_LINE = 1000, 16
_AT_ONCE = 2_000
_LARGE_BYTES = 1024 * 1024


class _Sketch(msgspec.Struct, gc=False):
    """As little of an event as tells it from the millions of numbers that fit into a large body."""

    specversion: Literal["1.0"]


_read_sketches = msgspec.json.Decoder(list[_Sketch]).decode
_read_elements = msgspec.json.Decoder(list[Raw]).decode


def read_one(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Read a structured-mode event: one JSON object."""
    raw = body.strip(_BLANK)
    if raw.startswith(_BOM):
        return malformed("the body begins with a byte order mark; send JSON without one")
    return _checked([raw], raw, max_event_bytes)


def read_batch(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Read a batched-mode body: a JSON array of events; each keeps its bytes."""
    try:
        if len(body) > _LARGE_BYTES:
            _read_sketches(body)
        raws = [bytes(element) for element in _read_elements(body)]
    except msgspec.ValidationError as error:
        return malformed(f"the body is not a JSON array of CloudEvents: {error}")
    except NOT_PLAIN as error:
        return malformed(f"the body is not a JSON array: {error}")
    return _checked(raws, body, max_event_bytes)


def read_lines(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Read NDJSON: one event a line, blank lines skipped."""
    if body.startswith(_BOM):
        return malformed("the body begins with a byte order mark; send JSON without one")
    if body.count(b"\n") > _FEW_LINES + len(body) // _SHORTEST_LINE:
        return malformed("the lines of the body are too short to be events")
    lines = body.split(b"\n")
    if b"\r" in body:
        lines = [line.strip(_BLANK) for line in lines]
    raws = [line for line in lines if line and not line.isspace()]
    found = _checked(raws, body, max_event_bytes)
    return _with_lines(found, lines) if isinstance(found, RequestRefusal) else found


def read_either(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Read plain ``application/json``: an event, or an array of them."""
    if body.lstrip(_BLANK).startswith(b"["):
        return read_batch(body, max_event_bytes)
    return read_one(body, max_event_bytes)


def read_events(events: Sequence[Event], max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Check events that a source made as those of a request are checked."""
    return checked([event.to_json() for event in events], max_event_bytes)


def checked(raws: list[bytes], max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Check events, each the bytes of its JSON format."""
    return _checked(raws, raws[0] if len(raws) == 1 else b"\n".join(raws), max_event_bytes)


def _checked(
    raws: list[bytes], body: bytes, max_event_bytes: int
) -> DecodedEvents | RequestRefusal:
    longest = max(map(len, raws), default=0)
    if longest > max_event_bytes:
        return events_too_large(max_event_bytes, list(_oversized(raws, max_event_bytes)))
    shallow = longest <= 2 * MAX_DEPTH or not any(map(too_deep, raws))
    if shallow and trusty(body):
        try:
            envelopes = _plain(raws)
        except NOT_PLAIN:
            return _sorted_out(raws, read_extended)
        if not suspicious(envelopes):
            return DecodedEvents(raws, envelopes)
    return _sorted_out(raws, examine)


def _plain(raws: list[bytes]) -> list[PlainArrival]:
    """Read plain events; the loop in C ends now and then, so that other threads get their turn."""
    envelopes: list[PlainArrival] = []
    for first in range(0, len(raws), _AT_ONCE):
        envelopes += map(read_plain, raws[first : first + _AT_ONCE])
    return envelopes


def _sorted_out(
    raws: list[bytes], read: Callable[[bytes], Addressed | str]
) -> DecodedEvents | RequestRefusal:
    envelopes: list[Addressed] = []
    faults: list[EventFault] = []
    for index, raw in enumerate(raws):
        found = read(raw)
        if isinstance(found, str):
            faults.append(EventFault(index, found))
            if len(faults) == COUNTED_FAULTS:
                break
        else:
            envelopes.append(found)
    return invalid(faults, len(raws)) if faults else DecodedEvents(raws, envelopes)


def _oversized(raws: Iterable[bytes], limit: int) -> Iterable[EventFault]:
    for index, raw in enumerate(raws):
        if len(raw) > limit:
            yield EventFault(index, f"it is {len(raw)} bytes long; at most {limit} are taken")


def _with_lines(refusal: RequestRefusal, lines: Sequence[bytes]) -> RequestRefusal:
    numbers = [n for n, line in enumerate(lines, 1) if line and not line.isspace()]
    faults = tuple(EventFault(f.index, f.reason, numbers[f.index]) for f in refusal.faults)
    return msgspec.structs.replace(refusal, faults=faults)
