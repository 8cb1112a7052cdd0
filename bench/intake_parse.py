"""Measures reading NDJSON requests: split, validated, ready to append, beside msgspec alone."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable

import msgspec

from busway.event import Envelope
from busway.ports import DecodedEvents
from busway.source.decode import decode_ndjson

EVENTS = 1000
ROUNDS = 7
REPEATS = 20


def orders(extra: str = "") -> bytes:
    """Return an NDJSON body of 1,000 orders of about 230 bytes, with UUIDs as ids."""
    lines = [
        f'{{"specversion":"1.0","id":"{uuid.UUID(int=index * 2**97 % 2**128 + index)}",'
        f'"source":"/shop/web","type":"order.created","subject":"customer-{index % 100}",'
        f'"time":"2026-01-02T03:04:05Z",{extra}"data":{{"order_id":{index},'
        f'"customer":{{"id":{index % 100}}},"total":{index}.5,"currency":"EUR"}}}}'
        for index in range(EVENTS)
    ]
    return "\n".join(lines).encode() + b"\n"


def us_per_event(work: Callable[[], object]) -> float:
    """Return the best of several rounds, in microseconds for an event."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(REPEATS):
            work()
        best = min(best, time.perf_counter() - started)
    return best / REPEATS / EVENTS * 1e6


def run() -> list[dict[str, float | str]]:
    """Return one row for each kind of body: microseconds for an event, and the ratio to the floor.

    The floor is msgspec decoding every event of the same bytes into plain dicts.
    """
    decode_any = msgspec.json.Decoder().decode_lines
    decode_envelope = msgspec.json.Decoder(Envelope).decode_lines
    rows: list[dict[str, float | str]] = []
    bodies = {"plain": orders(), "one unknown extension": orders('"tenant":"north",')}
    for name, body in bodies.items():
        assert isinstance(decode_ndjson(body, len(body)), DecodedEvents)
        took = us_per_event(lambda body=body: decode_ndjson(body, len(body)))  # type: ignore[misc]
        floor = us_per_event(lambda body=body: decode_any(body))  # type: ignore[misc]
        envelope = us_per_event(lambda body=body: decode_envelope(body))  # type: ignore[misc]
        rows.append(
            {
                "what": f"read NDJSON, 1,000 events, {name}",
                "bytes_per_event": len(body) // EVENTS,
                "us_per_event": round(took, 3),
                "floor": "msgspec decode to dicts",
                "floor_us_per_event": round(floor, 3),
                "envelope_only_us_per_event": round(envelope, 3),
                "ratio": round(floor / took, 2),
            }
        )
    return rows


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
