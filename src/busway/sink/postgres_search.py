"""The search for the rows of a load that a PostgreSQL table does not take, in savepoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from busway.outcome import UNTRIED
from busway.sink.bisect import Bisection, Blame, Refusal, judged, span_of
from busway.sink.postgres_error import blame, is_slow, may_pass
from busway.sink.postgres_session import Session
from busway.sink.row import Row, Rows
from busway.sink.shape import Problems

MOST_SLOW = 2
"""With so many rows that each take too long, the others of a load are left for the next one."""


class Writer(Protocol):
    """What a search needs of a table."""

    async def write_part(self, session: Session, part: Sequence[Rows]) -> Problems:
        """Write items; return those that were seen to be wrong before they were sent."""
        ...

    async def undone(self, session: Session) -> None:
        """Learn that what was written last was undone."""
        ...

    async def probe(self, session: Session, error: Exception) -> None:
        """Raise an error when no row at all can be written now."""
        ...

    async def refusal(self, session: Session, error: Exception, rows: Sequence[Row]) -> Refusal:
        """Return why the rows of an item were refused."""
        ...


class Search:
    """Writes a batch, without those items that cannot be written.

    What may be over in another transaction is raised, unless this attempt is the ``final`` one.
    """

    def __init__(self, table: Writer, session: Session, batch: Sequence[Rows], final: bool) -> None:
        self._table = table
        self._session = session
        self._batch = batch
        self._final = final
        self._problems: Problems = {}
        self._refusals: dict[int, Refusal] = {}
        self._probed = False
        self._slow = 0

    async def run(self, failed: Exception | None = None) -> Problems:
        """Return why items are not written; ``failed`` is what they ended with together before."""
        known = {span_of(self._batch): failed} if failed and len(self._batch) > 1 else {}
        search = Bisection(self._batch, known)
        for part in search:
            error = await self._try(part)
            if error is not None:
                await self._refused(error)
                search.refused(part, error)
                if len(part) == 1:
                    await self._refuse(search, part[0], error)
        return self._problems | judged(self._refusals, landed=self._landed(), sound=True)

    async def _try(self, part: Sequence[Rows]) -> Exception | None:
        try:
            async with self._session.connection.transaction():
                self._problems |= await self._table.write_part(self._session, part)
        except Exception as error:
            gone = self._session.connection.is_closed()
            if gone or blame(error) is Blame.DESTINATION or (may_pass(error) and not self._final):
                raise
            await self._table.undone(self._session)
            return error
        return None

    async def _refused(self, error: Exception) -> None:
        if not self._probed and blame(error) in (Blame.UNCLEAR, Blame.PASSING):
            await self._table.probe(self._session, error)
            self._probed = True

    async def _refuse(self, search: Bisection, item: Rows, error: Exception) -> None:
        refusal = await self._table.refusal(self._session, error, item.rows)
        self._refusals[item.index] = refusal
        self._slow += is_slow(error)
        if self._slow < MOST_SLOW:
            return
        rest = search.rest()
        if rest and not self._landed(len(rest)) and not await self._takes_one(rest):
            raise error
        self._problems |= {rows.index: UNTRIED for rows in rest}

    def _landed(self, untried: int = 0) -> bool:
        known = len(self._problems.keys() | self._refusals.keys())
        return known + untried < len(self._batch)

    async def _takes_one(self, rest: Sequence[Rows]) -> bool:
        """Say whether one of some items could be written; none is."""
        for item in {rows.index: rows for rows in (rest[-1], rest[len(rest) // 2])}.values():
            trial = self._session.connection.transaction()
            await trial.start()
            try:
                taken = not await self._table.write_part(self._session, [item])
            except Exception:
                taken = False
            await trial.rollback()
            await self._table.undone(self._session)
            if taken:
                return True
        return False
