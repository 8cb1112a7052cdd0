"""When an event came last from the sources that somebody watches for silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta

import msgspec

from busway.clock import Clock
from busway.named_value import ValueChange
from busway.ports import AppendEnvelope, Ledger

LAST_SEEN = "last-seen/"
SAVE_INTERVAL_S = 5.0
"""How much of it a crash may forget."""
_MAX_SOURCES = 10_000


class LastSeenRecord(msgspec.Struct, frozen=True):
    """When the last event came, as of ``observed_at``: until then somebody was there to see."""

    last_seen_at: datetime
    observed_at: datetime


class LastSeen:
    """Notes what comes, keeps it in the ledger, and takes from there what others noted.

    What is watched is a source, or with ``*`` at its end every source that begins so.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._last_seen_at: dict[str, datetime] = {}
        self._watched_by_source: dict[str, tuple[str, ...]] = {}
        self._saved_at = float("-inf")

    async def watch(self, wanted: Set[str]) -> None:
        """Watch these, and no others."""
        if wanted == self._last_seen_at.keys():
            return
        now = self._clock.now()
        records = await self._records()
        self._last_seen_at = {
            one: self._last_seen_at.get(one) or _last_seen_at(records.get(one), now)
            for one in sorted(wanted)
        }
        self._watched_by_source = {}
        self._saved_at = float("-inf")

    @property
    def watches(self) -> bool:
        """Whether anything is watched."""
        return bool(self._last_seen_at)

    def record(self, envelopes: Sequence[AppendEnvelope]) -> None:
        """Note the sources of events that came just now."""
        if not self._last_seen_at:
            return
        now = self._clock.now()
        for source in {envelope.source for envelope in envelopes}:
            for one in self._watched(source):
                self._last_seen_at[one] = now

    async def save(self) -> None:
        """Keep what is known in the ledger now and then, together with what others know."""
        if not self._last_seen_at or self._clock.monotonic() - self._saved_at < SAVE_INTERVAL_S:
            return
        self._saved_at = self._clock.monotonic()
        now = self._clock.now()
        for one, record in (await self._records()).items():
            if one in self._last_seen_at:
                self._last_seen_at[one] = max(self._last_seen_at[one], record.last_seen_at)
        await self._ledger.change_values(
            [
                ValueChange(LAST_SEEN + one, msgspec.json.encode(LastSeenRecord(at, now)))
                for one, at in self._last_seen_at.items()
            ]
        )

    def silent_s(self) -> Mapping[str, float]:
        """Return for each of them how long nothing came."""
        now = self._clock.now()
        return {one: max(0.0, (now - at).total_seconds()) for one, at in self._last_seen_at.items()}

    def _watched(self, source: str) -> tuple[str, ...]:
        found = self._watched_by_source.get(source)
        if found is None:
            if len(self._watched_by_source) >= _MAX_SOURCES:
                self._watched_by_source.clear()
            found = tuple(one for one in self._last_seen_at if _matches(one, source))
            self._watched_by_source[source] = found
        return found

    async def _records(self) -> dict[str, LastSeenRecord]:
        found = await self._ledger.get_values(LAST_SEEN)
        return {
            name.removeprefix(LAST_SEEN): msgspec.json.decode(value, type=LastSeenRecord)
            for name, value in found.items()
        }


def _matches(watched: str, source: str) -> bool:
    return source.startswith(watched[:-1]) if watched.endswith("*") else source == watched


def _last_seen_at(record: LastSeenRecord | None, now: datetime) -> datetime:
    """Return when the last event came, without the time in which nobody could have seen one."""
    if record is None:
        return now
    unseen = now - record.observed_at
    return (
        record.last_seen_at + unseen
        if unseen > timedelta(seconds=2 * SAVE_INTERVAL_S)
        else record.last_seen_at
    )
