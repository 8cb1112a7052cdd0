"""Open the log and the ledger of one database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.engine.postgres.address import Address
from busway.engine.postgres.check import check
from busway.engine.postgres.database import VITAL_CONNECTIONS, Database
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.log import PostgresLog
from busway.engine.postgres.schema import SCHEMA, prepare
from busway.engine.postgres.way import Way
from busway.errors import StoreError, StoreUnfit
from busway.ports import Stores
from busway.settings import Settings


async def open_stores(settings: Settings) -> Stores:
    """Open what ``settings.engine`` names, made where there is none; many processes may at once.

    Raises :class:`StoreTooNew`, or :class:`StoreError` when the server cannot be used now.
    """
    opened = await _opened(settings.engine, settings.partitions)
    ledger, place = OwnLedger(opened), opened.database.place
    try:
        log = await PostgresLog.open(opened.database, opened.identity, settings.max_log_bytes)
    except BaseException:
        await ledger.close()
        raise
    return Stores(log, ledger, shared=True, name=place, cautions=ledger.cautions)


async def open_ledger(settings: Settings) -> tuple[OwnLedger, str]:
    """Open the ledger that ``settings.ledger`` names, for a log elsewhere; say where it is."""
    opened = await _opened(settings.ledger, settings.partitions)
    return OwnLedger(opened), opened.database.place


class _Opened(msgspec.Struct, frozen=True):
    database: Database
    vital: Database
    identity: str
    cautions: Sequence[str]


async def _opened(url: str, partitions: int) -> _Opened:
    try:
        promise = await check(Way(Address.of(url)))
        identity = await prepare(url, SCHEMA, partitions)
        commit, hint = promise.commit, promise.hint
        database = await Database.open(url, SCHEMA, commit, hint=hint)
        vital = await Database.open(url, SCHEMA, commit, VITAL_CONNECTIONS, hint)
        return _Opened(database, vital, identity, promise.cautions)
    except StoreError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error, StoreUnfit):
            raise type(error)(f"{error}; is it running, is the address right?") from error
        raise


class OwnLedger(PostgresLedger):
    """The ledger, which closes the databases after itself: it is closed last.

    ``cautions`` are what a person should be told at the start: how the server could lose what it
    acknowledged, and what to do about it.
    """

    def __init__(self, opened: _Opened) -> None:
        super().__init__(opened.database, opened.vital)
        self.cautions = opened.cautions

    async def close(self) -> None:
        await super().close()
        await self._vital.close()
        await self._database.close()
