"""Group commit: settlements that arrive while others are written share the next transaction."""

from __future__ import annotations

import asyncio
from collections import deque

import asyncpg
import msgspec

from busway.engine.postgres.database import Database
from busway.engine.postgres.settlement_statement import settle_row, settle_rows
from busway.lane import LaneId
from busway.settlement import Settlement

MAX_TRANSACTIONS = 4
"""How many run at a time: a lane that is locked elsewhere makes only its own group wait."""
MAX_GROUP_SIZE = 1_000
_DATA_ERRORS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""Errors that the damaged rows of one lane may cause: the other lanes of the group go on."""


class _PendingSettlement(msgspec.Struct, frozen=True):
    settlement: Settlement
    applied: asyncio.Future[bool]
    generation: int


class SettlementGroupCommit:
    """Commits settlements without failed events, of many lanes at a time.

    While few transactions are running, a settlement is committed at once, alone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: deque[_PendingSettlement] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        """How many tasks still take settlements: one that ends stays in ``_tasks`` for a moment."""

    async def settle(self, settlement: Settlement) -> bool:
        """Commit a settlement without failed events; return whether it was applied."""
        applied: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pending.append(
            _PendingSettlement(settlement, applied, self._database.generation.number)
        )
        if self._running < MAX_TRANSACTIONS:
            self._running += 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await applied

    async def close(self) -> None:
        """Stop writing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pending in self._pending:
            pending.applied.cancel()

    async def _run(self) -> None:
        try:
            await self._write_pending()
        finally:
            self._running -= 1

    async def _write_pending(self) -> None:
        while self._pending:
            group = self._next_group()
            try:
                await self._commit(group)
            finally:
                for pending in group:  # no result can come any more
                    pending.applied.cancel()

    async def _commit(self, group: list[_PendingSettlement]) -> None:
        """Commit a group, and resolve each settlement as if it were alone."""
        try:
            for pending in group:
                self._database.generation.check_unchanged(pending.generation)
            applied = await self._execute([pending.settlement for pending in group])
        except Exception as error:
            if len(group) > 1 and isinstance(error.__cause__, _DATA_ERRORS):
                for pending in group:
                    await self._commit([pending])
                return
            for pending in group:
                if not pending.applied.done():
                    pending.applied.set_exception(error)
        else:
            for number, pending in enumerate(group):
                if not pending.applied.done():
                    pending.applied.set_result(number in applied)

    def _next_group(self) -> list[_PendingSettlement]:
        """Return pending settlements, at most one per lane: a statement changes a row once."""
        group: dict[LaneId, _PendingSettlement] = {}
        later: list[_PendingSettlement] = []
        while self._pending and len(group) < MAX_GROUP_SIZE:
            pending = self._pending.popleft()
            lane = LaneId(pending.settlement.flow, pending.settlement.partition)
            if group.setdefault(lane, pending) is not pending:
                later.append(pending)
        self._pending.extendleft(reversed(later))
        return list(group.values())

    async def _execute(self, group: list[Settlement]) -> set[int]:
        """Write a group; return the numbers of the settlements that were applied."""
        if len(group) == 1:  # the statement for a single one takes two thirds of the time
            ((applied,),) = await self._database.fetch_quickly(
                "ledger/settle", *settle_row(group[0])
            )
            return {0} if applied else set()
        rows = await self._database.fetch_quickly("ledger/settle_many", *settle_rows(group))
        return {int(number) - 1 for (number,) in rows}
