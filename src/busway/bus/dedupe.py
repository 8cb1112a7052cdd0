"""Which events were seen lately: exact, in little memory, for as long as the window lasts.

The newest ids are a set. A full set becomes a run in an unnamed file, with a Bloom filter in front
of it and one in front of each group of runs, so that an id costs five bytes of memory, a new one
looks at a file once in millions of times, and a repeated one is found in the file. The log can
rebuild all of it, so nothing here is durable.
"""

from __future__ import annotations

import mmap
import tempfile
from collections import deque
from collections.abc import Collection, Iterable, Sequence, Set
from functools import lru_cache
from typing import Final, Protocol

from rbloom import Bloom
from xxhash import xxh3_128_digest

RUN_DIGESTS: Final = 65_536
DIGEST_BYTES: Final = 16
_GROUP_SIZES: Final = (1_000_000, 4_000_000, 16_000_000)
_MIN_RUN_DIGESTS: Final = 4_096
_GROUP_ERROR_RATE: Final = 2e-3
_RUN_ERROR_RATE: Final = 1e-5
_MAX_SINGLE_LOOKUPS: Final = 16
"""How many digests are looked for one by one in a run, before it is worth making a set of it."""


class HasIdentity(Protocol):
    """The identity of an event."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...


def identity_digests(events: Iterable[HasIdentity]) -> list[bytes]:
    """Return a 16-byte digest of the identity of each event (``source`` and ``id``)."""
    return [xxh3_128_digest(f"{len(e.source)}:{e.source}{e.id}".encode()) for e in events]


class DigestRun:
    """Digests in an unnamed file behind a Bloom filter, and when the last of them came."""

    __slots__ = ("_filter", "_map", "last_at")

    def __init__(self, digests: Sequence[bytes], last_at: float) -> None:
        with tempfile.TemporaryFile(prefix="busway-recent-") as file:
            file.write(b"".join(digests))
            file.flush()
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._filter = Bloom(len(digests), _RUN_ERROR_RATE)
        self._filter.update(digests)
        self.last_at = last_at

    def __len__(self) -> int:
        return len(self._map) // DIGEST_BYTES

    def find(self, wanted: Set[bytes]) -> set[bytes]:
        """Return the digests that are in this run."""
        likely = set(filter(self._filter.__contains__, wanted))
        if len(likely) > _MAX_SINGLE_LOOKUPS:
            return likely & _load_cached(self)
        kept = self._map[:] if likely else b""
        return {one for one in likely if _aligned_find(kept, one) >= 0}

    def load(self) -> frozenset[bytes]:
        """Return the digests from the file."""
        kept = self._map[:]
        return frozenset(kept[at : at + DIGEST_BYTES] for at in range(0, len(kept), DIGEST_BYTES))


@lru_cache(maxsize=4)
def _load_cached(run: DigestRun) -> frozenset[bytes]:
    """Cache the runs in which many repeats were found last: more are likely."""
    return run.load()


def _aligned_find(kept: bytes, wanted: bytes) -> int:
    at = kept.find(wanted)
    while at % DIGEST_BYTES and at >= 0:
        at = kept.find(wanted, at + 1)
    return at


class RunGroup:
    """Runs that share a Bloom filter."""

    __slots__ = ("_filter", "_free_digests", "runs")

    def __init__(self, capacity: int) -> None:
        self._free_digests = capacity
        self._filter = Bloom(capacity, _GROUP_ERROR_RATE)
        self.runs: deque[DigestRun] = deque()

    def fits(self, digests: Sequence[bytes]) -> bool:
        return len(digests) <= self._free_digests

    def add(self, digests: Sequence[bytes], run: DigestRun) -> None:
        self._free_digests -= len(digests)
        self._filter.update(digests)
        self.runs.append(run)

    def find(self, digests: Iterable[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        suspects = set(filter(self._filter.__contains__, digests))
        for run in reversed(self.runs):
            if not suspects:
                break
            here = run.find(suspects)
            found |= here
            suspects -= here
        return found


class DedupeIndex:
    """The identities of the events of the last ``window_s`` seconds, at most ``limit`` of them.

    Times are seconds of a clock that does not go back. An identity is kept for the window and up
    to a sixteenth of it longer. Beyond ``limit`` the oldest are forgotten early.
    """

    def __init__(self, window_s: float, limit: int = 32_000_000) -> None:
        self._window_s = window_s
        self._limit = limit
        self._fresh: set[bytes] = set()
        self._fresh_in_order: list[bytes] = []
        """What is fresh as it came: that is how it lies in memory, and half the work to go over."""
        self._fresh_since = 0.0
        self._small_sets: deque[tuple[set[bytes], float]] = deque()
        self._groups: deque[RunGroup] = deque()
        self._digests_in_runs = 0

    def __len__(self) -> int:
        return (
            len(self._fresh)
            + sum(len(small) for small, _ in self._small_sets)
            + self._digests_in_runs
        )

    def find(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return the digests that were added within the window."""
        wanted = digests if isinstance(digests, set) else set(digests)
        found = self._fresh & wanted
        for small, _ in self._small_sets:
            found |= small & wanted
        for group in self._groups:
            found |= group.find(wanted)
        return found

    def add(self, digests: Collection[bytes], now: float) -> None:
        """Add digests at ``now``."""
        if not self._fresh:
            self._fresh_since = now
        self._fresh.update(digests)
        self._fresh_in_order.extend(digests)
        if len(self._fresh_in_order) >= RUN_DIGESTS:
            self._seal_fresh(now)

    def expire(self, now: float) -> None:
        """Drop digests that are older than the window or exceed the limit."""
        if self._fresh and now - self._fresh_since >= self._window_s / 16:
            self._seal_fresh(now)
        while self._small_sets and now - self._small_sets[0][1] > self._window_s:
            self._small_sets.popleft()
        while self._groups and self._oldest_is_expired(now):
            run = self._groups[0].runs.popleft()
            self._digests_in_runs -= len(run)
            if not self._groups[0].runs:
                self._groups.popleft()

    def _seal_fresh(self, now: float) -> None:
        fresh, sealed = self._fresh, self._fresh_in_order
        self._fresh, self._fresh_in_order = set(), []
        if len(sealed) < _MIN_RUN_DIGESTS:
            self._small_sets.append((fresh, now))
            return
        try:
            run = DigestRun(sealed, now)
        except OSError:  # no space for the file: keep them in memory
            self._small_sets.append((fresh, now))
            return
        if not self._groups or not self._groups[-1].fits(sealed):
            self._groups.append(RunGroup(_GROUP_SIZES[min(len(self._groups), 2)]))
        self._groups[-1].add(sealed, run)
        self._digests_in_runs += len(sealed)

    def _oldest_is_expired(self, now: float) -> bool:
        oldest = self._groups[0].runs[0]
        return now - oldest.last_at > self._window_s or self._digests_in_runs > self._limit
