"""What the demo measured, in sentences: each figure with its unit and what was done for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Outage(NamedTuple):
    """The time in which the CRM was down. Times are seconds."""

    lasted_s: float
    waited: int
    """Events that its flow had not delivered when it came back."""
    caught_up_s: float


class Figures(NamedTuple):
    """What was measured. Times are seconds."""

    events: int
    settled_s: float
    batched: int
    batches_s: float
    answered_s: Sequence[float]
    """From each single POST to its 202."""
    landed_s: Sequence[float]
    """From each single POST to its row."""
    outage: Outage
    twice: int
    """Rows, lines and keys that were found twice."""
    repeated: int


def sentences(one: Figures) -> Iterator[tuple[str, str]]:
    """Yield a name and a sentence for each figure."""
    rate = one.events / one.settled_s
    yield (
        "end to end",
        (
            f"{rate:,.0f} events/s: {one.events:,} events in {one.settled_s:.1f} s,"
            " from the first POST to the last SQLite row and the last line of the file"
        ),
    )
    yield (
        "intake",
        (
            f"{one.batched / one.batches_s:,.0f} events/s accepted and on disk,"
            " in requests of 1,000 events"
        ),
    )
    yield (
        "latency",
        (
            f"{_spread(one.landed_s)} from POST to the row in SQLite,"
            f" {_spread(one.answered_s)} from POST to 202 ({len(one.answered_s):,} single events,"
            " 32 at a time)"
        ),
    )
    yield (
        "outage",
        (
            f"the CRM was down for {one.outage.lasted_s:.1f} s; {one.outage.waited:,} events"
            f" waited for it, and were done {one.outage.caught_up_s:.1f} s after it was back"
        ),
    )
    yield (
        "duplicates",
        (
            f"{one.twice} found in the table, the file and the CRM;"
            f" {one.repeated:,} events were posted twice"
        ),
    )


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    half, most = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
    return f"p50 {half:.0f} ms, p99 {most:.0f} ms"
