"""From where and to where an installation can be moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from busway.engine.registry import require_package, scheme_of
from busway.engine.sqlite.move import SqliteMoveOrigin
from busway.errors import SettingsError
from busway.ports.move import Move, MoveOrigin, MoveReceiver, MoveTarget, TargetState
from busway.settings import Settings

_POSTGRES_SCHEMES = ("postgresql", "postgres")
_JETSTREAM_SCHEMES = ("nats", "tls")


async def open_origin(path: Path) -> MoveOrigin:
    """Open a data directory that is to be moved, for this process alone.

    Raises :class:`NotFound` when it is none, :class:`StoreLocked` when it is in use, and
    :class:`StoreError` when it cannot be used.
    """
    return await SqliteMoveOrigin.open(path)


async def target_of(settings: Settings) -> MoveTarget:
    """Return the target that the settings name; raises :class:`SettingsError` for none."""
    scheme = scheme_of(settings.engine)
    if scheme in _POSTGRES_SCHEMES:
        if settings.ledger not in ("", settings.engine):
            raise SettingsError("PostgreSQL holds log and ledger; leave out the ledger")
        await require_package("asyncpg", "postgres")
        return _PostgresTarget(msgspec.structs.replace(settings, ledger=settings.engine))
    if scheme not in _JETSTREAM_SCHEMES:
        raise SettingsError("an installation is moved to postgresql://… or nats://…; give --to")
    if scheme_of(settings.ledger) not in _POSTGRES_SCHEMES:
        raise SettingsError(
            "a log at nats://… needs a ledger in PostgreSQL; give --ledger postgresql://…"
        )
    await require_package("nats", "nats")
    await require_package("asyncpg", "postgres")
    # its packages are extras
    from busway.engine.jetstream.move import JetStreamTarget  # noqa: PLC0415

    return JetStreamTarget(settings)


class _PostgresTarget:
    """A database for log and ledger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        from busway.driver.postgres.address import PostgresAddress  # noqa: PLC0415 - an extra

        return PostgresAddress.parse(self._settings.ledger).label

    async def inspect(self) -> TargetState:
        from busway.engine.postgres.move import target_state  # noqa: PLC0415 - an extra

        return await target_state(self._settings.ledger)

    async def begin(self, move: Move, bases: Sequence[int]) -> MoveReceiver:
        from busway.engine.postgres.move import PostgresMoveReceiver  # noqa: PLC0415 - an extra

        return await PostgresMoveReceiver.begin(self._settings, move, bases)
