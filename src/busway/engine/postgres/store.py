"""Open the log and the ledger of one database."""

from __future__ import annotations

from busway.engine.postgres.database import Database
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.log import PostgresLog
from busway.engine.postgres.schema import SCHEMA, prepare
from busway.errors import StoreError
from busway.ports import Stores
from busway.settings import Settings


async def open_stores(settings: Settings) -> Stores:
    """Open what ``settings.engine`` names, made where there is none; many processes may at once.

    Raises :class:`StoreTooNew`, or :class:`StoreError` when the server cannot be used now.
    """
    database, identity = await _opened(settings.engine, settings.partitions)
    try:
        log = await PostgresLog.open(database, identity, settings.max_log_bytes)
    except BaseException:
        await database.close()
        raise
    return Stores(log, _Owner(database), shared=True, name=database.place)


async def open_ledger(settings: Settings) -> tuple[PostgresLedger, str]:
    """Open the ledger that ``settings.ledger`` names, for a log elsewhere; say where it is."""
    database, _ = await _opened(settings.ledger, settings.partitions)
    return _Owner(database), database.place


async def _opened(url: str, partitions: int) -> tuple[Database, str]:
    try:
        identity = await prepare(url, SCHEMA, partitions)
        return await Database.open(url, SCHEMA), identity
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise type(error)(f"{error}; is it running, is the address right?") from error
        raise


class _Owner(PostgresLedger):
    """The ledger, which closes the database after itself: it is closed last."""

    async def close(self) -> None:
        await super().close()
        await self._database.close()
