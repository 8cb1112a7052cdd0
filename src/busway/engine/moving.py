"""From where and to where an installation can be moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from busway.engine.choose import need, scheme_of
from busway.engine.sqlite.moving import SqliteOrigin
from busway.errors import SettingsError
from busway.ports.moving import Move, Origin, Receiving, Standing, Target
from busway.settings import Settings

_POSTGRES = ("postgresql", "postgres")
_JETSTREAM = ("nats", "tls")


async def open_origin(path: Path) -> Origin:
    """Open a data directory that is to be moved, for this process alone.

    Raises :class:`NotFound` when it is none, :class:`StoreLocked` when it is in use, and
    :class:`StoreError` when it cannot be used.
    """
    return await SqliteOrigin.open(path)


async def target_of(settings: Settings) -> Target:
    """Return the target that the settings name; raises :class:`SettingsError` for none."""
    scheme = scheme_of(settings.engine)
    if scheme in _POSTGRES:
        if settings.ledger not in ("", settings.engine):
            raise SettingsError("PostgreSQL holds log and ledger; leave out the ledger")
        await need("asyncpg", "postgres")
        return _Postgres(msgspec.structs.replace(settings, ledger=settings.engine))
    if scheme not in _JETSTREAM:
        raise SettingsError("an installation is moved to postgresql://… or nats://…; give --to")
    if scheme_of(settings.ledger) not in _POSTGRES:
        raise SettingsError(
            "a log at nats://… needs a ledger in PostgreSQL; give --ledger postgresql://…"
        )
    await need("nats", "nats")
    await need("asyncpg", "postgres")
    # its packages are extras
    from busway.engine.jetstream.moving import JetStreamTarget  # noqa: PLC0415

    return JetStreamTarget(settings)


class _Postgres:
    """A database for log and ledger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        from busway.engine.postgres.address import Address  # noqa: PLC0415 - an extra

        return Address.of(self._settings.ledger).place

    async def standing(self) -> Standing:
        from busway.engine.postgres.moving import standing_of  # noqa: PLC0415 - an extra

        return await standing_of(self._settings.ledger)

    async def begin(self, move: Move, bases: Sequence[int]) -> Receiving:
        from busway.engine.postgres.moving import PostgresReceiving  # noqa: PLC0415 - an extra

        return await PostgresReceiving.begin(self._settings, move, bases)
