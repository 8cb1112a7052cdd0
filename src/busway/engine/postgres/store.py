"""Open the log and the ledger of one database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import Connector
from busway.engine.postgres.connection_limit import CONTROL_CONNECTIONS
from busway.engine.postgres.database import Database
from busway.engine.postgres.durability import check_durability
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.log import PostgresLog
from busway.engine.postgres.schema import SCHEMA, migrate
from busway.errors import StoreError, StoreMisconfigured
from busway.ports import StoreOptions, Stores


async def open_stores(options: StoreOptions) -> Stores:
    """Open the log and the ledger at ``options.address``; create the tables if there are none.

    Many processes may do so at once.

    Raises :class:`StoreTooNew`, :class:`StoreTooOld`, or :class:`StoreError` when the server cannot
    be used now.
    """
    opened = await _open_database(options.address, options.partitions)
    ledger, label = OwningPostgresLedger(opened), opened.database.label
    try:
        log = await PostgresLog.open(opened.database, opened.identity, options.max_log_bytes)
    except BaseException:
        await ledger.close()
        raise
    return Stores(log, ledger, is_shared=True, name=label, warnings=ledger.warnings)


async def open_ledger(options: StoreOptions) -> tuple[OwningPostgresLedger, str]:
    """Open the ledger at ``options.ledger``, for a log elsewhere; return it with its label."""
    opened = await _open_database(options.ledger, options.partitions)
    return OwningPostgresLedger(opened), opened.database.label


class _OpenDatabase(msgspec.Struct, frozen=True):
    database: Database
    control_pool: Database
    identity: str
    warnings: Sequence[str]


async def _open_database(url: str, partitions: int) -> _OpenDatabase:
    try:
        durability = await check_durability(Connector(PostgresAddress.parse(url)))
        identity = await migrate(url, SCHEMA, partitions)
        commit, hint = durability.synchronous_commit, durability.timeout_hint
        database = await Database.open(url, SCHEMA, commit, timeout_hint=hint)
        control_pool = await Database.open(url, SCHEMA, commit, CONTROL_CONNECTIONS, hint)
        return _OpenDatabase(database, control_pool, identity, durability.warnings)
    except StoreError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error, StoreMisconfigured):
            raise type(error)(f"{error}; is it running, is the address right?") from error
        raise


class OwningPostgresLedger(PostgresLedger):
    """A ledger that closes its connection pools; it is closed last.

    ``warnings`` are for people, at the start: how the server could lose acknowledged events, and
    what to do about it.
    """

    def __init__(self, databases: _OpenDatabase) -> None:
        super().__init__(databases.database, databases.control_pool)
        self.warnings = databases.warnings

    async def close(self) -> None:
        await super().close()
        await self._control_pool.close()
        await self._database.close()
