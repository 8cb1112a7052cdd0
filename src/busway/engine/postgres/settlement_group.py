"""Group commit: settlements that come while others are written share the next transaction."""

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
"""How many transactions: a lane that somebody else holds keeps those of its own group waiting."""
MAX_GROUP_SIZE = 1_000
_DATA_ERRORS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""What the rows of one lane may be to blame for, where they are damaged: the others go on."""


class _PendingSettlement(msgspec.Struct, frozen=True):
    settlement: Settlement
    applied: asyncio.Future[bool]
    generation: int


class SettlementGroupCommit:
    """Settles what went well, of many lanes at a time.

    What is asked while little is under way goes at once, alone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: deque[_PendingSettlement] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        """How many of these look again: one that has ended is among them for another moment."""

    async def settle(self, settlement: Settlement) -> bool:
        """Settle what has no troubles; say whether it was applied."""
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
        """Write nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self._pending:
            one.applied.cancel()

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
                for one in group:  # who has no answer by now gets none
                    one.applied.cancel()

    async def _commit(self, group: list[_PendingSettlement]) -> None:
        """Write a group, and tell each what became of it, as if it had been alone."""
        try:
            for one in group:
                self._database.generation.check_unchanged(one.generation)
            moved = await self._execute([one.settlement for one in group])
        except Exception as error:
            if len(group) > 1 and isinstance(error.__cause__, _DATA_ERRORS):
                for one in group:
                    await self._commit([one])
                return
            for one in group:
                if not one.applied.done():
                    one.applied.set_exception(error)
        else:
            for number, one in enumerate(group):
                if not one.applied.done():
                    one.applied.set_result(number in moved)

    def _next_group(self) -> list[_PendingSettlement]:
        """Take what waits, no lane twice: a statement changes a row once."""
        group: dict[LaneId, _PendingSettlement] = {}
        later: list[_PendingSettlement] = []
        while self._pending and len(group) < MAX_GROUP_SIZE:
            one = self._pending.popleft()
            lane = LaneId(one.settlement.flow, one.settlement.partition)
            if group.setdefault(lane, one) is not one:
                later.append(one)
        self._pending.extendleft(reversed(later))
        return list(group.values())

    async def _execute(self, group: list[Settlement]) -> set[int]:
        """Write a group; return the numbers of those that were applied."""
        if len(group) == 1:  # the statement for one takes the server two thirds of the time
            ((applied,),) = await self._database.fetch_quickly(
                "ledger/settle", *settle_row(group[0])
            )
            return {0} if applied else set()
        found = await self._database.fetch_quickly("ledger/settle_many", *settle_rows(group))
        return {int(number) - 1 for (number,) in found}
