"""The log in PostgreSQL: a row for each batch, keyed by partition and offset."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self

import msgspec

from busway import batch as codec
from busway.engine.postgres.database import Database
from busway.engine.postgres.sweep import Sweep
from busway.engine.postgres.turn import Turns
from busway.engine.postgres.watch import Watch
from busway.engine.recent import Recent
from busway.engine.tail import Tail
from busway.errors import StoreDamaged, StoreError, StoreFull
from busway.ports import Batch, Draft

_RECENT_BYTES = 16 * 1024 * 1024
_READ_ROWS = 1_000
_TRIM_ROWS = 500


class PostgresLog:
    """Appends with one statement, which is one commit; any number of processes may.

    After an append that was given up, nothing is read from the server before it is certain that it
    landed, or never will.
    """

    def __init__(
        self, database: Database, watch: Watch, identity: str, bounds: Sequence[tuple[int, int]]
    ) -> None:
        self._database = database
        self._watch = watch
        self._identity = identity
        self._bases = [base for base, _ in bounds]
        self._tail = watch.tail
        self._recent = [Recent(_RECENT_BYTES // len(bounds)) for _ in bounds]
        self._remembered = self.era
        self._turns = Turns(database)
        self._max_bytes = 0
        self._sweep = Sweep(database)

    @classmethod
    async def open(cls, database: Database, identity: str, max_bytes: int = 0) -> Self:
        """Open the log of a database that is prepared; ``max_bytes`` of 0 sets no limit."""
        bounds = [(base, end) for _, base, end in await database.rows("log/bounds")]
        watch = Watch(database, Tail([end for _, end in bounds]))
        log = cls(database, watch, identity, bounds)
        log._max_bytes = max_bytes
        return log

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def era(self) -> int:
        return self._database.era.number

    @property
    def partitions(self) -> int:
        return len(self._bases)

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        if not drafts:
            return []
        appending = asyncio.ensure_future(self._append(_Sheet.of(drafts, self.partitions), at))
        # it goes on, also when its caller does not: what it stores must be known here
        return await asyncio.shield(appending)

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        self._forget_other_eras()
        recent = self._recent[partition].read(offset, max_bytes)
        if recent:
            return recent
        await self._turns.make_certain()
        found = await self._database.rows("log/read", partition, offset, max_bytes, _READ_ROWS)
        batches = _joined(self._batch(partition, *row) for row in found)
        if batches:
            self._tail.advance(partition, batches[-1].end)
        elif (known := self._tail.end(partition)) > offset:
            await self.continue_at(partition, known)  # where a failover has lost it
        return batches

    async def bounds(self, partition: int) -> tuple[int, int]:
        ((base, end),) = await self._database.rows("log/bound", partition)
        self._tail.advance(partition, end)
        return base, end

    async def trim(self, partition: int, offset: int) -> int:
        trimmed = 0
        while gone := await self._database.rows("log/trim", partition, offset, _TRIM_ROWS):
            trimmed += gone[0][0]
            self._sweep.trimmed(gone[0][1])
        self._recent[partition].forget(offset)
        return trimmed

    async def continue_at(self, partition: int, offset: int) -> int:
        await self._turns.make_certain()
        ((before,),) = await self._database.rows("log/continue_at", partition, offset)
        self._tail.advance(partition, max(before, offset))
        return int(before)

    async def maintain(self) -> None:
        """Make what was trimmed room for what comes, when it is worth it."""
        await self._sweep.maintain(await self.size_bytes())

    async def offset_at(self, partition: int, at: datetime) -> int:
        ((found,),) = await self._database.rows("log/first_since", partition, at)
        return (await self.bounds(partition))[1] if found is None else int(found)

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        found = await self._database.rows("log/appended_at", partition, offset)
        return found[0][0] if found else None

    async def size_bytes(self) -> int:
        ((size,),) = await self._database.rows("log/size")
        return int(size)

    async def wait(self, partition: int, offset: int) -> None:
        await self._watch.wait(partition, offset)

    async def close(self) -> None:
        await self._sweep.close()
        await self._turns.close()
        await self._watch.close()

    async def _append(self, sheet: _Sheet, at: datetime) -> list[int]:
        if self._max_bytes and await self.size_bytes() + sum(sheet.sizes) > self._max_bytes:
            raise StoreFull(
                f"{self._database.place}: the log has reached its limit of {self._max_bytes}"
                " bytes; raise BUSWAY_MAX_LOG_BYTES, or have the flows catch up"
            )
        ends = {partition: self._tail.end(partition) for partition in sheet.totals}
        era = self.era
        rows = await self._turns.take("log/append", at, *sheet.columns())
        found = {int(partition): int(offset) for partition, offset in rows}
        if not found:
            raise StoreError(f"{self._database.place}: the append came too late; send it again")
        await self._make_sure_of(ends, found)
        firsts = sheet.placed(found)
        self._forget_other_eras()
        for draft, size, offset in zip(sheet.drafts, sheet.sizes, firsts, strict=True):
            batch = Batch(draft.partition, offset, at, draft.events)
            if self.era == era:
                self._recent[draft.partition].add(batch, size)
            self._tail.advance(draft.partition, offset + len(draft.events))
        self._watch.tell()
        return firsts

    def _forget_other_eras(self) -> None:
        if self._remembered != self.era:
            self._remembered = self.era
            for one in self._recent:
                one.clear()

    async def _make_sure_of(self, ends: Mapping[int, int], found: Mapping[int, int]) -> None:
        """Raise :class:`StoreError` where what was seen before is lost, and go on behind it.

        Lanes may have read what had these offsets before, and would take what has them now for it.
        """
        lost = [partition for partition, first in found.items() if first < ends[partition]]
        for partition in lost:
            await self.continue_at(partition, ends[partition])
        if lost:
            raise StoreError(
                f"{self._database.place}: the server has lost what it had acknowledged, as a"
                f" failover to a standby does that was behind; partitions {lost} go on behind it:"
                " send it again"
            )

    def _batch(
        self, partition: int, offset: int, count: int, appended_at: datetime, body: bytes
    ) -> Batch:
        place = f"{self._database.place}, partition {partition}, offset {offset}"
        events = codec.decode(body, place)
        if len(events) != count:
            raise StoreDamaged(f"{place}: {len(events)} events, not {count}; restore a backup")
        return Batch(partition, offset, appended_at, events)


def _joined(batches: Iterable[Batch]) -> list[Batch]:
    """Return batches up to a hole."""
    found: list[Batch] = []
    for batch in batches:
        if found and found[-1].end != batch.offset:
            break
        found.append(batch)
    return found


class _Sheet(msgspec.Struct, frozen=True):
    """Drafts as the columns of a statement; ``ahead`` counts those before of the same partition."""

    drafts: Sequence[Draft]
    ahead: list[int]
    sizes: list[int]
    totals: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, drafts: Sequence[Draft], partitions: int) -> Self:
        totals: dict[int, tuple[int, int]] = {}
        ahead, sizes = [], []
        for draft in drafts:
            if not 0 <= draft.partition < partitions or not draft.events:
                raise ValueError(f"no events, or no such partition: {draft.partition}")
            count, total = totals.get(draft.partition, (0, 0))
            ahead.append(count)
            sizes.append(codec.size(draft.events))
            totals[draft.partition] = (count + len(draft.events), total + sizes[-1])
        return cls(drafts, ahead, sizes, totals)

    def columns(self) -> tuple[list[object], ...]:
        return (
            list(self.totals),
            [count for count, _ in self.totals.values()],
            [size for _, size in self.totals.values()],
            [draft.partition for draft in self.drafts],
            list(self.ahead),
            [len(draft.events) for draft in self.drafts],
            list(self.sizes),
            [codec.pack(draft.events) for draft in self.drafts],
        )

    def placed(self, firsts: dict[int, int]) -> list[int]:
        """Return the offset of each draft, from the first new one of each partition."""
        pairs = zip(self.drafts, self.ahead, strict=True)
        return [firsts[draft.partition] + ahead for draft, ahead in pairs]
