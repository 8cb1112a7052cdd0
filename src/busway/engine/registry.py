"""Which engine: a data directory, or the servers that a URL names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from busway.engine import sqlite
from busway.errors import SettingsError, StoreCorrupted, StoreMoved
from busway.lane import ValueChange
from busway.missing_package import install_hint
from busway.ports import Ledger, SharedDirectory, Stores
from busway.ports.move import LOG_IDENTITY_KEY, MOVE_KEY, Move
from busway.settings import Settings
from busway.spelling import nearest

if TYPE_CHECKING:
    from busway.engine.jetstream.log import JetStreamLog

StoreOpener = Callable[[Settings], Awaitable[Stores]]


async def open_stores(settings: Settings, sharing: SharedDirectory | None = None) -> Stores:
    """Open the log and the ledger that the settings name, made where there are none.

    ``sharing`` is for a data directory that several processes open; servers are open to all anyway.
    Raises :class:`SettingsError` for an engine that there is not, or whose package is missing, and
    :class:`StoreError` when it cannot be used now.
    """
    if not settings.engine:
        if settings.ledger:
            raise SettingsError("a ledger of its own is for a log at nats://…; give that engine")
        return await sqlite.open_stores(settings, sharing)
    scheme = scheme_of(settings.engine)
    opening = _OPENERS.get(scheme)
    if opening is None:
        near = nearest(scheme, _OPENERS)
        fix = f"did you mean {near}://…?" if near else "give postgresql://… or nats://…"
        raise SettingsError(f"there is no engine {scheme or settings.engine!r}; {fix}")
    return await opening(settings)


async def open_existing(settings: Settings) -> Stores:
    """Open the log and the ledger as :func:`open_stores` does, but make none.

    Raises :class:`SettingsError` where there are none.
    """
    url = settings.ledger or settings.engine
    if scheme_of(url) in _POSTGRES_SCHEMES:
        await require_package("asyncpg", "postgres")
        from busway.driver.postgres.address import PostgresAddress  # noqa: PLC0415
        from busway.engine.postgres.schema import is_initialized  # noqa: PLC0415

        if not await is_initialized(url):
            raise SettingsError(
                f"there is no Busway in {PostgresAddress.parse(url).label}; start a server"
                " there first:"
                " busway run, or busway serve and busway work"
            )
    return await open_stores(settings)


async def _open_postgres(settings: Settings) -> Stores:
    if settings.ledger not in ("", settings.engine):
        raise SettingsError("PostgreSQL holds log and ledger; leave out the ledger")
    await require_package("asyncpg", "postgres")
    # asyncpg is an extra: who has a data directory need not have it
    from busway.engine.postgres.store import open_stores as opened  # noqa: PLC0415

    stores = await opened(settings)
    try:
        await _refuse_unfinished_move(stores.ledger, stores.name)
        await _refuse_jetstream_ledger(stores.ledger, stores.name)
    except BaseException:
        await stores.close()
        raise
    return stores


async def _open_jetstream(settings: Settings) -> Stores:
    if scheme_of(settings.ledger) not in _POSTGRES_SCHEMES:
        raise SettingsError(
            "a log at nats://… needs a ledger in PostgreSQL; give --ledger postgresql://…"
        )
    await require_package("nats", "nats")
    await require_package("asyncpg", "postgres")
    from busway.engine.jetstream import JetStreamAddress  # noqa: PLC0415
    from busway.engine.postgres.store import open_ledger  # noqa: PLC0415

    JetStreamAddress.parse(settings.engine).check_files()
    ledger, place = await open_ledger(settings)
    try:
        await _refuse_unfinished_move(ledger, place)
        log = await _open_jetstream_log(settings, await _bound_log_identity(ledger))
        try:
            await _bind_ledger_to_log(ledger, log.identity)
        except BaseException:
            await log.close()
            raise
    except BaseException:
        await ledger.close()
        raise
    name = f"{_stream_label(settings)}, ledger in {place}"
    cautions = [*log.warnings, *ledger.warnings]
    return Stores(log, ledger, is_shared=True, name=name, warnings=cautions)


async def _open_jetstream_log(settings: Settings, identity: str) -> JetStreamLog:
    from busway.engine.jetstream import JetStreamAddress, JetStreamLog  # noqa: PLC0415

    limits = (settings.max_log_bytes, settings.max_event_bytes)
    place = JetStreamAddress.parse(settings.engine)
    log = await JetStreamLog.open(place, settings.partitions, *limits, identity)
    if log.is_move_unfinished:
        await log.close()
        raise StoreMoved(
            f"{_stream_label(settings)}: a move into it is unfinished, with another ledger; give"
            " `busway move` again, and it goes on"
        )
    return log


def _stream_label(settings: Settings) -> str:
    from busway.engine.jetstream import JetStreamAddress  # noqa: PLC0415

    return str(JetStreamAddress.parse(settings.engine))


async def _bound_log_identity(ledger: Ledger) -> str:
    """Return the identity of the log that a ledger belongs to, empty where it is new."""
    lanes = await ledger.lanes()  # before the look: whoever belongs elsewhere says so before lanes
    kept = await ledger.get_values(LOG_IDENTITY_KEY)
    if lanes and LOG_IDENTITY_KEY not in kept:
        raise StoreCorrupted(
            "this ledger belongs to the log in its own database: its cursors mean nothing in"
            " another one; give a database without a Busway, or that one as the engine"
        )
    return kept[LOG_IDENTITY_KEY].decode() if LOG_IDENTITY_KEY in kept else ""


async def _bind_ledger_to_log(ledger: Ledger, identity: str) -> None:
    await _bound_log_identity(ledger)  # again: what has opened it meanwhile may have lanes there
    await ledger.change_values([ValueChange(LOG_IDENTITY_KEY, identity.encode(), expected=None)])
    found = await _bound_log_identity(ledger)
    if found != identity:
        raise StoreCorrupted(
            f"this ledger belongs to the log {found}, and not to {identity}; give the one with it"
        )


async def _refuse_unfinished_move(ledger: Ledger, label: str) -> None:
    kept = (await ledger.get_values(MOVE_KEY)).get(MOVE_KEY)
    move = None if kept is None else msgspec.json.decode(kept, type=Move)
    if move is not None and move.finished_at is None:
        raise StoreMoved(
            f"{label}: a move from {move.origin} into it is unfinished; give `busway move` again,"
            " and it goes on"
        )


async def _refuse_jetstream_ledger(ledger: Ledger, label: str) -> None:
    if LOG_IDENTITY_KEY in await ledger.get_values(LOG_IDENTITY_KEY):
        raise StoreCorrupted(
            f"{label} is the ledger of a log in NATS: what is appended here would not be delivered;"
            " give nats://… as the engine, and this as the ledger"
        )


def scheme_of(address: str) -> str:
    """Return what is before ``://``, in whatever way the rest names its hosts."""
    return address.partition("://")[0] if "://" in address else ""


async def require_package(package: str, extra: str) -> None:
    """Raise :class:`SettingsError` when an engine's package is missing."""
    if await asyncio.to_thread(find_spec, package) is None:
        raise SettingsError(f"this engine needs {package}; {install_hint(package)}")


_POSTGRES_SCHEMES = ("postgresql", "postgres")
_OPENERS: dict[str, StoreOpener] = {
    "postgresql": _open_postgres,
    "postgres": _open_postgres,
    "nats": _open_jetstream,
    "tls": _open_jetstream,
}
