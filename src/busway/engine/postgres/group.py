"""Group commit: settlements that come while others are written share the next transaction."""

from __future__ import annotations

import asyncio
from collections import deque

import asyncpg
import msgspec

from busway.engine.postgres.database import Database
from busway.engine.postgres.settling import settle_row, settle_rows
from busway.lane import Settlement

AT_A_TIME = 4
"""How many transactions: a lane that somebody else holds keeps those of its own group waiting."""
MOST = 1_000
_ABOUT_ONE = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""What the rows of one lane may be to blame for, where they are damaged: the others go on."""


class _Asked(msgspec.Struct, frozen=True):
    settlement: Settlement
    applied: asyncio.Future[bool]
    era: int


class GroupCommit:
    """Settles what went well, of many lanes at a time.

    What is asked while little is under way goes at once, alone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Asked] = deque()
        self._writing: set[asyncio.Task[None]] = set()
        self._busy = 0
        """How many of these look again: one that has ended is among them for another moment."""

    async def settle(self, settlement: Settlement) -> bool:
        """Settle what has no troubles; say whether it was applied."""
        applied: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(settlement, applied, self._database.era.number))
        if self._busy < AT_A_TIME:
            self._busy += 1
            task = asyncio.create_task(self._write_all())
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return await applied

    async def close(self) -> None:
        """Write nothing more."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        for one in self._waiting:
            one.applied.cancel()

    async def _write_all(self) -> None:
        try:
            await self._write_waiting()
        finally:
            self._busy -= 1

    async def _write_waiting(self) -> None:
        while self._waiting:
            group = self._next_group()
            try:
                await self._answer(group)
            finally:
                for one in group:  # who has no answer by now gets none
                    one.applied.cancel()

    async def _answer(self, group: list[_Asked]) -> None:
        """Write a group, and tell each what became of it, as if it had been alone."""
        try:
            for one in group:
                self._database.era.check(one.era)
            moved = await self._write([one.settlement for one in group])
        except Exception as error:
            if len(group) > 1 and isinstance(error.__cause__, _ABOUT_ONE):
                for one in group:
                    await self._answer([one])
                return
            for one in group:
                if not one.applied.done():
                    one.applied.set_exception(error)
        else:
            for number, one in enumerate(group):
                if not one.applied.done():
                    one.applied.set_result(number in moved)

    def _next_group(self) -> list[_Asked]:
        """Take what waits, no lane twice: a statement changes a row once."""
        group: dict[tuple[str, int], _Asked] = {}
        later: list[_Asked] = []
        while self._waiting and len(group) < MOST:
            one = self._waiting.popleft()
            lane = (one.settlement.flow, one.settlement.partition)
            if group.setdefault(lane, one) is not one:
                later.append(one)
        self._waiting.extendleft(reversed(later))
        return list(group.values())

    async def _write(self, group: list[Settlement]) -> set[int]:
        """Write a group; return the numbers of those that were applied."""
        if len(group) == 1:  # the statement for one takes the server two thirds of the time
            ((applied,),) = await self._database.quick("ledger/settle", *settle_row(group[0]))
            return {0} if applied else set()
        found = await self._database.quick("ledger/settle_all", *settle_rows(group))
        return {int(number) - 1 for (number,) in found}
