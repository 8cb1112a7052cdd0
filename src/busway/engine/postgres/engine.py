"""The engine of several machines: opens log and ledger in one PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from busway.driver.postgres.address import PostgresAddress
from busway.engine.ledger_binding import refuse_bound_ledger, refuse_unfinished_move
from busway.engine.postgres.move import PostgresMoveReceiver, target_state
from busway.engine.postgres.schema import is_initialized
from busway.engine.postgres.store import open_stores
from busway.errors import SettingsError
from busway.ports import StoreOptions, Stores
from busway.ports.move import Move, MoveReceiver, MoveTarget, TargetState


class PostgresEngine:
    """Opens a database."""

    async def open_stores(self, options: StoreOptions) -> Stores:
        _refuse_separate_ledger(options)
        stores = await open_stores(options)
        try:
            await refuse_unfinished_move(stores.ledger, stores.name)
            await refuse_bound_ledger(stores.ledger, stores.name)
        except BaseException:
            await stores.close()
            raise
        return stores

    async def open_existing(self, options: StoreOptions) -> Stores:
        await require_stores(options.address)
        return await self.open_stores(options)

    def move_target(self, options: StoreOptions) -> MoveTarget:
        _refuse_separate_ledger(options)
        return PostgresTarget(replace(options, ledger=options.address))


class PostgresTarget:
    """A database for log and ledger."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options

    @property
    def name(self) -> str:
        return PostgresAddress.parse(self._options.ledger).label

    async def inspect(self) -> TargetState:
        return await target_state(self._options.ledger)

    async def begin(self, move: Move, bases: Sequence[int]) -> MoveReceiver:
        return await PostgresMoveReceiver.begin(self._options, move, bases)


async def require_stores(address: str) -> None:
    """Raise :class:`SettingsError` for a database without stores."""
    if not await is_initialized(address):
        label = PostgresAddress.parse(address).label
        raise SettingsError(
            f"there is no Busway in {label}; start a server there first: busway run, or busway"
            " serve and busway work"
        )


def _refuse_separate_ledger(options: StoreOptions) -> None:
    if options.ledger not in ("", options.address):
        raise SettingsError("PostgreSQL holds log and ledger; leave out the ledger")
