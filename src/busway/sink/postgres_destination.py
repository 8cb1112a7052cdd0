"""An opened ``postgres`` sink: rows and the lane's position in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from busway.outcome import DELIVERED, UNTRIED, Down, Outcome
from busway.ports import Load, Standing
from busway.sink import postgres_position
from busway.sink.position import Place, advance, missed_offsets
from busway.sink.postgres_error import CONFLICT, EXPECTED, STALE, code, down, is_data
from busway.sink.postgres_relation import Relation
from busway.sink.postgres_session import Session, Sessions
from busway.sink.postgres_table import PostgresTable
from busway.sink.row import item_rows, plain_rows
from busway.sink.shape import Shapes

ATTEMPTS = 4


class PostgresDestination:
    """Keeps connections open; loads of different lanes go side by side."""

    def __init__(self, to: Relation) -> None:
        self._place = to.place
        self._schema = to.schema
        shapes = Shapes(to.table, to.key, to.create)
        self._table = PostgresTable(to.schema, shapes, to.columns)
        self._sessions = Sessions(to.dsn, to.connections, to.timeout_s)
        self._prepared = False

    async def write(self, load: Load) -> Sequence[Outcome]:
        try:
            return await self._attempts(load)
        except EXPECTED as error:
            self._prepared = False
            self._table.forget()
            return [down(error, self._place)] * (len(load.items) or 1)

    async def landed(self, lane: tuple[str, str, int], offsets: Sequence[int]) -> Standing | Down:
        try:
            async with self._sessions.transaction() as session:
                return await postgres_position.standing(
                    session.connection, self._schema, lane, offsets
                )
        except EXPECTED as error:
            return down(error, self._place)

    async def close(self) -> None:
        await self._sessions.close()

    async def _attempts(self, load: Load) -> Sequence[Outcome]:
        """Try with all rows at once, then looking for the bad ones; again after a conflict."""
        careful = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(load, careful=careful)
            except asyncpg.PostgresError as error:
                if code(error) in CONFLICT and attempt == ATTEMPTS and load.items:
                    reason = f"{type(error).__name__}: {error}"
                    return [Down(reason, reachable=True)] * (len(load.items) or 1)
                if not self._may_help(error, careful=careful) or attempt == ATTEMPTS:
                    raise
                careful = careful or is_data(error)
        raise AssertionError("the last attempt returns or raises")

    def _may_help(self, error: asyncpg.PostgresError, *, careful: bool) -> bool:
        """Say whether trying again may help."""
        if is_data(error):
            return not careful
        if code(error) in STALE:
            self._table.forget()
            self._prepared = False
            return True
        return code(error) in CONFLICT

    async def _attempt(self, load: Load, *, careful: bool) -> Sequence[Outcome]:
        async with self._sessions.transaction() as session:
            if not self._prepared:
                await postgres_position.prepare(session.connection, self._schema)
            place = await postgres_position.read(session.connection, self._schema, load)
            if place.refuses(load):
                return [UNTRIED] * (len(load.items) or 1)
            outcomes = await self._rows(session, load, place, careful=careful)
            change = advance(place, load, missed_offsets(load, outcomes))
            moved = change.inserts or change.deletes or change.position != place.position
            if moved or load.epoch > place.epoch:
                await postgres_position.store(session.connection, self._schema, load, change)
        self._prepared = True
        return outcomes

    async def _rows(
        self, session: Session, load: Load, place: Place, *, careful: bool
    ) -> list[Outcome]:
        outcomes: list[Outcome] = [DELIVERED] * len(load.items)
        pending = place.pending(load)
        if not pending:
            return outcomes
        plain = None if careful else plain_rows(load.items, pending)
        if plain is not None and await self._table.land_whole(session, plain):
            return outcomes
        batch, problems = item_rows(load.items, pending)
        problems |= await self._table.land(session, batch)
        for index, problem in problems.items():
            outcomes[index] = problem
        return outcomes
