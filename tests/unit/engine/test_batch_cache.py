"""The newest batches: bounded, and only ever what the log would give."""

from __future__ import annotations

from datetime import UTC, datetime

from busway.engine.batch_cache import BatchCache
from busway.ports import LogBatch

AT = datetime(2030, 1, 1, tzinfo=UTC)


def batch(offset: int, *events: bytes) -> LogBatch:
    return LogBatch(0, offset, AT, events)


def test_it_returns_only_batches_in_the_cache() -> None:
    recent = BatchCache(10_000)
    assert recent.read(0, 100) is None
    first, second = batch(5, b"a", b"b"), batch(7, b"c")
    recent.add(first)
    recent.add(second)
    assert recent.read(4, 100) is None
    assert recent.read(6, 100) == [first, second]
    assert recent.read(7, 100) == [second]
    assert recent.read(8, 100) is None


def test_it_evicts_the_oldest_batches() -> None:
    recent = BatchCache(10_000)
    for offset in range(1000):
        recent.add(batch(offset, b"x" * 100))
    kept = recent.read(999, 100)
    assert kept == [batch(999, b"x" * 100)]
    assert recent.read(0, 100) is None
    oldest = next(offset for offset in range(1000) if recent.read(offset, 1))
    assert 20 < 1000 - oldest < 100
    recent.add(batch(1000, b"x" * 20_000))
    assert recent.read(1000, 1) is None


def test_a_gap_clears_the_cache() -> None:
    recent = BatchCache(10_000)
    recent.add(batch(0, b"a"))
    recent.add(batch(2, b"c"))
    assert recent.read(0, 100) is None
    assert recent.read(2, 100) == [batch(2, b"c")]


def test_a_reused_offset_clears_the_cache() -> None:
    recent = BatchCache(10_000)
    for offset, event in enumerate((b"kept", b"lost", b"lost")):
        recent.add(batch(offset, event))
    recent.add(batch(1, b"new"))
    assert recent.read(0, 100) is None
    assert recent.read(1, 100) == [batch(1, b"new")]
    recent.clear()
    assert recent.read(1, 100) is None
