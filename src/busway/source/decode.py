"""Decoding of request bodies into validated events, or into a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Raw

from busway.event import Event
from busway.ports import AppendEnvelope, DecodedEvents, EventFault, RequestRefusal
from busway.source.refusal import (
    MAX_COUNTED_FAULTS,
    events_too_large,
    invalid_events,
    malformed_body,
)
from busway.source.validate import (
    DECODE_ERRORS,
    MAX_DEPTH,
    StrictEnvelope,
    decode_strict,
    is_safe_json,
    is_too_deep,
    needs_full_validation,
    validate_extended,
    validate_fully,
)

_WHITESPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_FEW_LINES, _SHORTEST_LINE = 1000, 16
_SLICE_EVENTS = 2_000
_LARGE_BYTES = 1024 * 1024


class _SpecVersion(msgspec.Struct, gc=False):
    """The least that tells an event from the millions of numbers that fit into a large body."""

    specversion: Literal["1.0"]


_check_elements = msgspec.json.Decoder(list[_SpecVersion]).decode
_split_elements = msgspec.json.Decoder(list[Raw]).decode


def decode_one(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Decode a structured-mode event: one JSON object."""
    raw = body.strip(_WHITESPACE)
    if raw.startswith(_BOM):
        return malformed_body("the body begins with a byte order mark; send JSON without it")
    return _validated([raw], raw, max_event_bytes)


def decode_array(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Decode a batched-mode body: a JSON array of events; each event keeps its bytes."""
    try:
        if len(body) > _LARGE_BYTES:
            _check_elements(body)
        raws = [bytes(element) for element in _split_elements(body)]
    except msgspec.ValidationError as error:
        return malformed_body(f"the body is not a JSON array of CloudEvents: {error}")
    except DECODE_ERRORS as error:
        return malformed_body(f"the body is not a JSON array: {error}")
    return _validated(raws, body, max_event_bytes)


def decode_ndjson(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Decode NDJSON: one event per line; blank lines are skipped."""
    if body.startswith(_BOM):
        return malformed_body("the body begins with a byte order mark; send JSON without it")
    if body.count(b"\n") > _FEW_LINES + len(body) // _SHORTEST_LINE:
        return malformed_body("the lines of the body are too short to be events")
    lines = body.split(b"\n")
    if b"\r" in body:
        lines = [line.strip(_WHITESPACE) for line in lines]
    raws = [line for line in lines if line and not line.isspace()]
    decoded = _validated(raws, body, max_event_bytes)
    return _with_line_numbers(decoded, lines) if isinstance(decoded, RequestRefusal) else decoded


def decode_json(body: bytes, max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Decode ``application/json``: one event, or an array of events."""
    if body.lstrip(_WHITESPACE).startswith(b"["):
        return decode_array(body, max_event_bytes)
    return decode_one(body, max_event_bytes)


def read_events(events: Sequence[Event], max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Validate events that a source made like those of a request."""
    return checked([event.to_json() for event in events], max_event_bytes)


def checked(raws: list[bytes], max_event_bytes: int) -> DecodedEvents | RequestRefusal:
    """Validate events, each given as the bytes of its JSON format."""
    return _validated(raws, raws[0] if len(raws) == 1 else b"\n".join(raws), max_event_bytes)


def _validated(
    raws: list[bytes], body: bytes, max_event_bytes: int
) -> DecodedEvents | RequestRefusal:
    longest = max(map(len, raws), default=0)
    if longest > max_event_bytes:
        return events_too_large(max_event_bytes, list(_oversized(raws, max_event_bytes)))
    shallow = longest <= 2 * MAX_DEPTH or not any(map(is_too_deep, raws))
    if shallow and is_safe_json(body):
        try:
            envelopes = _decode_strictly(raws)
        except DECODE_ERRORS:
            return _validate_each(raws, validate_extended)
        if not needs_full_validation(envelopes):
            return DecodedEvents(raws, envelopes)
    return _validate_each(raws, validate_fully)


def _decode_strictly(raws: list[bytes]) -> list[StrictEnvelope]:
    """Decode common events in slices: between them other threads can run."""
    envelopes: list[StrictEnvelope] = []
    for first in range(0, len(raws), _SLICE_EVENTS):
        envelopes += map(decode_strict, raws[first : first + _SLICE_EVENTS])
    return envelopes


def _validate_each(
    raws: list[bytes], validate: Callable[[bytes], AppendEnvelope | str]
) -> DecodedEvents | RequestRefusal:
    envelopes: list[AppendEnvelope] = []
    faults: list[EventFault] = []
    for index, raw in enumerate(raws):
        envelope = validate(raw)
        if isinstance(envelope, str):
            faults.append(EventFault(index, envelope))
            if len(faults) == MAX_COUNTED_FAULTS:
                break
        else:
            envelopes.append(envelope)
    return invalid_events(faults, len(raws)) if faults else DecodedEvents(raws, envelopes)


def _oversized(raws: Iterable[bytes], limit: int) -> Iterable[EventFault]:
    for index, raw in enumerate(raws):
        if len(raw) > limit:
            yield EventFault(index, f"it is {len(raw)} bytes long; the limit is {limit}")


def _with_line_numbers(refusal: RequestRefusal, lines: Sequence[bytes]) -> RequestRefusal:
    numbers = [n for n, line in enumerate(lines, 1) if line and not line.isspace()]
    faults = tuple(EventFault(f.index, f.reason, numbers[f.index]) for f in refusal.faults)
    return msgspec.structs.replace(refusal, faults=faults)
