"""An opened ``postgres`` sink: rows and the lane's position in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from busway.outcome import DELIVERED, UNTRIED, Down, Outcome
from busway.ports import Load, Standing
from busway.sink import postgres_position
from busway.sink.bisect import Blame
from busway.sink.position import advance, missed_offsets
from busway.sink.postgres_error import (
    CONFLICT,
    EXPECTED,
    STALE,
    Severed,
    blame,
    code,
    down,
    is_slow,
)
from busway.sink.postgres_parts import Parts
from busway.sink.postgres_relation import LONGEST_NAME, Relation
from busway.sink.postgres_session import Session, Sessions
from busway.sink.postgres_table import PostgresTable
from busway.sink.postgres_value import SYSTEM_COLUMNS
from busway.sink.row import item_rows, plain_rows
from busway.sink.shape import Naming, Shapes

ATTEMPTS = 4


class PostgresDestination:
    """Keeps connections open; loads of different lanes go side by side."""

    def __init__(self, to: Relation) -> None:
        self._place = to.place
        self._schema = to.schema
        naming = Naming("PostgreSQL", longest=LONGEST_NAME, reserved=SYSTEM_COLUMNS)
        shapes = Shapes(to.table, to.key, to.create, naming)
        self._table = PostgresTable(to.schema, shapes, to.columns)
        self._sessions = Sessions(to.dsn, to.connections, to.timeout_s)
        self._prepared = False
        self._severed: set[tuple[str, str, int]] = set()
        """Lanes whose last load was lost with its connection."""
        self._parts = Parts(self._attempts, self._ask, to.place)

    async def write(self, load: Load) -> Sequence[Outcome]:
        try:
            outcomes = await self._attempts(load)
        except Exception as error:
            self._prepared = False
            self._table.forget()
            if isinstance(error, Severed):
                if load.lane in self._severed:
                    return await self._parts.write(load)
                self._severed.add(load.lane)
            return [down(error, self._place)] * (len(load.items) or 1)
        self._severed.discard(load.lane)
        return outcomes

    async def landed(self, lane: tuple[str, str, int], offsets: Sequence[int]) -> Standing | Down:
        try:
            async with self._sessions.transaction() as session:
                return await postgres_position.standing(
                    session.connection, self._schema, lane, offsets
                )
        except EXPECTED as error:
            return down(error, self._place)

    async def _ask(self) -> None:
        async with self._sessions.transaction():
            pass

    async def reach(self) -> Down | None:
        try:
            async with self._sessions.transaction():
                return None
        except EXPECTED as error:
            return down(error, self._place)

    async def close(self) -> None:
        await self._sessions.close()

    async def _attempts(self, load: Load) -> Sequence[Outcome]:
        """Try with all rows at once, then looking for the bad ones; again after a conflict."""
        failed: Exception | None = None
        for _ in range(1, ATTEMPTS):
            try:
                return await self._attempt(load, failed)
            except Exception as error:
                state = code(error)
                if state in STALE:
                    self._table.forget()
                    self._prepared = False
                elif state not in CONFLICT:
                    if failed or blame(error) is Blame.DESTINATION:
                        raise
                    failed = error
        return await self._attempt(load, failed, final=True)

    async def _attempt(
        self, load: Load, failed: Exception | None, *, final: bool = False
    ) -> Sequence[Outcome]:
        """Land a load: all rows at once, or carefully after that has failed."""
        async with self._sessions.transaction() as session:
            if not self._prepared:
                await postgres_position.prepare(session.connection, self._schema)
            place = await postgres_position.read(session.connection, self._schema, load)
            if place.refuses(load):
                return [UNTRIED] * (len(load.items) or 1)
            outcomes: list[Outcome] = [DELIVERED] * len(load.items)
            pending = place.pending(load)
            if pending and (failed or final or not await self._land_whole(session, load, pending)):
                batch, refused = item_rows(load.items, pending)
                slow = failed if failed and is_slow(failed) and not refused else None
                problems = await self._table.land(session, batch, failed=slow, final=final)
                for index, problem in (refused | problems).items():
                    outcomes[index] = problem
            change = advance(place, load, missed_offsets(load, outcomes))
            moved = change.inserts or change.deletes or change.position != place.position
            if moved or load.epoch > place.epoch:
                await postgres_position.store(session.connection, self._schema, load, change)
        self._prepared = True
        return outcomes

    async def _land_whole(self, session: Session, load: Load, pending: Sequence[int]) -> bool:
        plain = plain_rows(load.items, pending)
        return plain is not None and await self._table.land_whole(session, plain)
