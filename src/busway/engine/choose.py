"""Which engine: a data directory, or the servers that a URL names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from busway.engine import sqlite
from busway.errors import SettingsError, StoreDamaged, StoreMoved
from busway.lane import Change
from busway.package import installing
from busway.ports import Ledger, Sharing, Stores
from busway.ports.moving import BELONGS_TO, MOVE, Move
from busway.settings import Settings
from busway.spelling import nearest

if TYPE_CHECKING:
    from busway.engine.jetstream.log import JetStreamLog

Opening = Callable[[Settings], Awaitable[Stores]]


async def open_stores(settings: Settings, sharing: Sharing | None = None) -> Stores:
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
    opening = _ENGINES.get(scheme)
    if opening is None:
        near = nearest(scheme, _ENGINES)
        fix = f"did you mean {near}://…?" if near else "give postgresql://… or nats://…"
        raise SettingsError(f"there is no engine {scheme or settings.engine!r}; {fix}")
    return await opening(settings)


async def open_existing(settings: Settings) -> Stores:
    """Open the log and the ledger as :func:`open_stores` does, but make none.

    Raises :class:`SettingsError` where there are none.
    """
    url = settings.ledger or settings.engine
    if scheme_of(url) in _POSTGRES:
        await need("asyncpg", "postgres")
        from busway.engine.postgres.address import Address  # noqa: PLC0415
        from busway.engine.postgres.schema import is_made  # noqa: PLC0415

        if not await is_made(url):
            raise SettingsError(
                f"there is no Busway in {Address.of(url).place}; start a server there first:"
                " busway run, or busway serve and busway work"
            )
    return await open_stores(settings)


async def _postgres(settings: Settings) -> Stores:
    if settings.ledger not in ("", settings.engine):
        raise SettingsError("PostgreSQL holds log and ledger; leave out the ledger")
    await need("asyncpg", "postgres")
    # asyncpg is an extra: who has a data directory need not have it
    from busway.engine.postgres.store import open_stores as opened  # noqa: PLC0415

    stores = await opened(settings)
    try:
        await _refuse_unfinished(stores.ledger, stores.name)
        await _refuse_elsewhere(stores.ledger, stores.name)
    except BaseException:
        await stores.close()
        raise
    return stores


async def _jetstream(settings: Settings) -> Stores:
    if scheme_of(settings.ledger) not in _POSTGRES:
        raise SettingsError(
            "a log at nats://… needs a ledger in PostgreSQL; give --ledger postgresql://…"
        )
    await need("nats", "nats")
    await need("asyncpg", "postgres")
    from busway.engine.jetstream import Place  # noqa: PLC0415
    from busway.engine.postgres.store import open_ledger  # noqa: PLC0415

    Place.of(settings.engine).check_files()
    ledger, place = await open_ledger(settings)
    try:
        await _refuse_unfinished(ledger, place)
        log = await _jetstream_log(settings, await _belongs_to(ledger))
        try:
            await _belong_together(ledger, log.identity)
        except BaseException:
            await log.close()
            raise
    except BaseException:
        await ledger.close()
        raise
    name = f"{_name_of(settings)}, ledger in {place}"
    cautions = [*log.cautions, *ledger.cautions]
    return Stores(log, ledger, shared=True, name=name, cautions=cautions)


async def _jetstream_log(settings: Settings, identity: str) -> JetStreamLog:
    from busway.engine.jetstream import JetStreamLog, Place  # noqa: PLC0415

    limits = (settings.max_log_bytes, settings.max_event_bytes)
    place = Place.of(settings.engine)
    log = await JetStreamLog.open(place, settings.partitions, *limits, identity)
    if log.moving:
        await log.close()
        raise StoreMoved(
            f"{_name_of(settings)}: a move into it is unfinished, with another ledger; give"
            " `busway move` again, and it goes on"
        )
    return log


def _name_of(settings: Settings) -> str:
    from busway.engine.jetstream import Place  # noqa: PLC0415

    return str(Place.of(settings.engine))


async def _belongs_to(ledger: Ledger) -> str:
    """Return the identity of the log that a ledger belongs to, empty where it is new."""
    lanes = await ledger.lanes()  # before the look: whoever belongs elsewhere says so before lanes
    kept = await ledger.get(BELONGS_TO)
    if lanes and BELONGS_TO not in kept:
        raise StoreDamaged(
            "this ledger belongs to the log in its own database: its cursors mean nothing in"
            " another one; give a database without a Busway, or that one as the engine"
        )
    return kept[BELONGS_TO].decode() if BELONGS_TO in kept else ""


async def _belong_together(ledger: Ledger, identity: str) -> None:
    await _belongs_to(ledger)  # again: what has opened it meanwhile may have lanes there
    await ledger.change([Change(BELONGS_TO, identity.encode(), expected=None)])
    found = await _belongs_to(ledger)
    if found != identity:
        raise StoreDamaged(
            f"this ledger belongs to the log {found}, and not to {identity}; give the one with it"
        )


async def _refuse_unfinished(ledger: Ledger, place: str) -> None:
    kept = (await ledger.get(MOVE)).get(MOVE)
    move = None if kept is None else msgspec.json.decode(kept, type=Move)
    if move is not None and move.ended_at is None:
        raise StoreMoved(
            f"{place}: a move from {move.origin} into it is unfinished; give `busway move` again,"
            " and it goes on"
        )


async def _refuse_elsewhere(ledger: Ledger, place: str) -> None:
    if BELONGS_TO in await ledger.get(BELONGS_TO):
        raise StoreDamaged(
            f"{place} is the ledger of a log in NATS: what is appended here would not be delivered;"
            " give nats://… as the engine, and this as the ledger"
        )


def scheme_of(address: str) -> str:
    """Return what is before ``://``, in whatever way the rest names its hosts."""
    return address.partition("://")[0] if "://" in address else ""


async def need(package: str, extra: str) -> None:
    """Raise :class:`SettingsError` when an engine's package is missing."""
    if await asyncio.to_thread(find_spec, package) is None:
        raise SettingsError(f"this engine needs {package}; {installing(package)}")


_POSTGRES = ("postgresql", "postgres")
_ENGINES: dict[str, Opening] = {
    "postgresql": _postgres,
    "postgres": _postgres,
    "nats": _jetstream,
    "tls": _jetstream,
}
