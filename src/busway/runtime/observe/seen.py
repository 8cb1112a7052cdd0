"""When an event came last from the sources that somebody watches for silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta

import msgspec

from busway.clock import Clock
from busway.lane import Change
from busway.ports import Addressed, Ledger

SEEN = "seen/"
KEPT_EVERY_S = 5.0
"""How much of it a crash may forget."""
_MOST_SOURCES = 10_000


class SeenRecord(msgspec.Struct, frozen=True):
    """When the last event came, as of ``noted_at``: until then somebody was there to see."""

    at: datetime
    noted_at: datetime


class Seen:
    """Notes what comes, keeps it in the ledger, and takes from there what others noted.

    What is watched is a source, or with ``*`` at its end every source that begins so.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._at: dict[str, datetime] = {}
        self._matching: dict[str, tuple[str, ...]] = {}
        self._kept_at = float("-inf")

    async def watch(self, wanted: Set[str]) -> None:
        """Watch these, and no others."""
        if wanted == self._at.keys():
            return
        now = self._clock.now()
        records = await self._records()
        self._at = {
            one: self._at.get(one) or _resumed(records.get(one), now) for one in sorted(wanted)
        }
        self._matching = {}
        self._kept_at = float("-inf")

    @property
    def watches(self) -> bool:
        """Whether anything is watched."""
        return bool(self._at)

    def note(self, envelopes: Sequence[Addressed]) -> None:
        """Note the sources of events that came just now."""
        if not self._at:
            return
        now = self._clock.now()
        for source in {envelope.source for envelope in envelopes}:
            for one in self._watched(source):
                self._at[one] = now

    async def keep(self) -> None:
        """Keep what is known in the ledger now and then, together with what others know."""
        if not self._at or self._clock.monotonic() - self._kept_at < KEPT_EVERY_S:
            return
        self._kept_at = self._clock.monotonic()
        now = self._clock.now()
        for one, record in (await self._records()).items():
            if one in self._at:
                self._at[one] = max(self._at[one], record.at)
        await self._ledger.change(
            [
                Change(SEEN + one, msgspec.json.encode(SeenRecord(at, now)))
                for one, at in self._at.items()
            ]
        )

    def silent_s(self) -> Mapping[str, float]:
        """Return for each of them how long nothing came."""
        now = self._clock.now()
        return {one: max(0.0, (now - at).total_seconds()) for one, at in self._at.items()}

    def _watched(self, source: str) -> tuple[str, ...]:
        found = self._matching.get(source)
        if found is None:
            if len(self._matching) >= _MOST_SOURCES:
                self._matching.clear()
            found = tuple(one for one in self._at if _matches(one, source))
            self._matching[source] = found
        return found

    async def _records(self) -> dict[str, SeenRecord]:
        found = await self._ledger.get(SEEN)
        return {
            name.removeprefix(SEEN): msgspec.json.decode(value, type=SeenRecord)
            for name, value in found.items()
        }


def _matches(watched: str, source: str) -> bool:
    return source.startswith(watched[:-1]) if watched.endswith("*") else source == watched


def _resumed(record: SeenRecord | None, now: datetime) -> datetime:
    """Return when the last event came, without the time in which nobody could have seen one."""
    if record is None:
        return now
    unseen = now - record.noted_at
    return record.at + unseen if unseen > timedelta(seconds=2 * KEPT_EVERY_S) else record.at
