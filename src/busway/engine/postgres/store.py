"""Open the log and the ledger of one database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.engine.postgres.address import Address
from busway.engine.postgres.check import check
from busway.engine.postgres.database import Database
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.log import PostgresLog
from busway.engine.postgres.schema import SCHEMA, prepare
from busway.engine.postgres.way import Way
from busway.errors import StoreError
from busway.ports import Stores
from busway.settings import Settings


async def open_stores(settings: Settings) -> Stores:
    """Open what ``settings.engine`` names, made where there is none; many processes may at once.

    Raises :class:`StoreTooNew`, or :class:`StoreError` when the server cannot be used now.
    """
    opened = await _opened(settings.engine, settings.partitions)
    try:
        log = await PostgresLog.open(opened.database, opened.identity, settings.max_log_bytes)
    except BaseException:
        await opened.database.close()
        raise
    ledger, place = OwnLedger(opened.database, opened.cautions), opened.database.place
    return Stores(log, ledger, shared=True, name=place, cautions=ledger.cautions)


async def open_ledger(settings: Settings) -> tuple[OwnLedger, str]:
    """Open the ledger that ``settings.ledger`` names, for a log elsewhere; say where it is."""
    opened = await _opened(settings.ledger, settings.partitions)
    return OwnLedger(opened.database, opened.cautions), opened.database.place


class _Opened(msgspec.Struct, frozen=True):
    database: Database
    identity: str
    cautions: Sequence[str]


async def _opened(url: str, partitions: int) -> _Opened:
    try:
        promise = await check(Way(Address.of(url)))
        identity = await prepare(url, SCHEMA, partitions)
        database = await Database.open(url, SCHEMA, promise.commit)
        return _Opened(database, identity, promise.cautions)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise type(error)(f"{error}; is it running, is the address right?") from error
        raise


class OwnLedger(PostgresLedger):
    """The ledger, which closes the database after itself: it is closed last.

    ``cautions`` are what a person should be told at the start: how the server could lose what it
    acknowledged, and what to do about it.
    """

    def __init__(self, database: Database, cautions: Sequence[str] = ()) -> None:
        super().__init__(database)
        self.cautions = cautions

    async def close(self) -> None:
        await super().close()
        await self._database.close()
