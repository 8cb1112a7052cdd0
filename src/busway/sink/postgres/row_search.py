"""The search for the rows of a load that a PostgreSQL table does not take, in savepoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from busway.outcome import NOT_ATTEMPTED
from busway.sink.bisect import (
    Bisection,
    ErrorScope,
    RowRefusal,
    classify_refusals,
    part_key,
)
from busway.sink.postgres.error import error_scope, is_retriable, is_statement_timeout
from busway.sink.postgres.session import PostgresSession
from busway.sink.row import ItemRows, Row
from busway.sink.row_validation import ItemProblems

MAX_SLOW_ROWS = 2
"""After this many slow rows the rest of a load is left for the next attempt."""


class PartWriter(Protocol):
    """What a search needs of a table."""

    async def write_part(self, session: PostgresSession, part: Sequence[ItemRows]) -> ItemProblems:
        """Write items; return those that were found invalid before they were sent."""
        ...

    async def rolled_back(self, session: PostgresSession) -> None:
        """Learn that what was written last was undone."""
        ...

    async def check_writable(self, session: PostgresSession, error: Exception) -> None:
        """Raise an error when no row at all can be written now."""
        ...

    async def row_refusal(
        self, session: PostgresSession, error: Exception, rows: Sequence[Row]
    ) -> RowRefusal:
        """Return why the rows of an item were refused."""
        ...


class BadRowSearch:
    """Writes a batch, without those items that cannot be written.

    An error that a retry may resolve is raised, unless this is the ``final`` attempt.
    """

    def __init__(
        self, table: PartWriter, session: PostgresSession, batch: Sequence[ItemRows], final: bool
    ) -> None:
        self._table = table
        self._session = session
        self._batch = batch
        self._final = final
        self._problems: ItemProblems = {}
        self._refusals: dict[int, RowRefusal] = {}
        self._probed = False
        self._slow_rows = 0

    async def run(self, failed: Exception | None = None) -> ItemProblems:
        """Return why items were not written; ``failed`` is the error of all of them together."""
        known = {part_key(self._batch): failed} if failed and len(self._batch) > 1 else {}
        search = Bisection(self._batch, known)
        for part in search:
            error = await self._try_part(part)
            if error is not None:
                await self._check_destination(error)
                search.mark_failed(part, error)
                if len(part) == 1:
                    await self._add_refusal(search, part[0], error)
        return self._problems | classify_refusals(
            self._refusals, others_written=self._some_written(), probe_succeeded=True
        )

    async def _try_part(self, part: Sequence[ItemRows]) -> Exception | None:
        try:
            async with self._session.connection.transaction():
                self._problems |= await self._table.write_part(self._session, part)
        except Exception as error:
            gone = self._session.connection.is_closed()
            if (
                gone
                or error_scope(error) is ErrorScope.DESTINATION
                or (is_retriable(error) and not self._final)
            ):
                raise
            await self._table.rolled_back(self._session)
            return error
        return None

    async def _check_destination(self, error: Exception) -> None:
        if not self._probed and error_scope(error) in (ErrorScope.UNKNOWN, ErrorScope.TRANSIENT):
            await self._table.check_writable(self._session, error)
            self._probed = True

    async def _add_refusal(self, search: Bisection, item: ItemRows, error: Exception) -> None:
        refusal = await self._table.row_refusal(self._session, error, item.rows)
        self._refusals[item.index] = refusal
        self._slow_rows += is_statement_timeout(error)
        if self._slow_rows < MAX_SLOW_ROWS:
            return
        rest = search.take_untried()
        if rest and not self._some_written(len(rest)) and not await self._takes_one(rest):
            raise error
        self._problems |= {rows.index: NOT_ATTEMPTED for rows in rest}

    def _some_written(self, untried: int = 0) -> bool:
        known = len(self._problems.keys() | self._refusals.keys())
        return known + untried < len(self._batch)

    async def _takes_one(self, rest: Sequence[ItemRows]) -> bool:
        """Say whether any of two sample items could be written; both are rolled back."""
        for item in {rows.index: rows for rows in (rest[-1], rest[len(rest) // 2])}.values():
            trial = self._session.connection.transaction()
            await trial.start()
            try:
                taken = not await self._table.write_part(self._session, [item])
            except Exception:
                taken = False
            await trial.rollback()
            await self._table.rolled_back(self._session)
            if taken:
                return True
        return False
