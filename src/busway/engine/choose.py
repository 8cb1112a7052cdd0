"""Which engine: a data directory, or the servers that a URL names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from busway.engine import sqlite
from busway.errors import SettingsError, StoreDamaged
from busway.lane import Change
from busway.ports import Ledger, Sharing, Stores
from busway.settings import Settings

if TYPE_CHECKING:
    from busway.engine.jetstream.log import JetStreamLog

Opening = Callable[[Settings], Awaitable[Stores]]
_LOG = "log"
"""The named value in which a ledger keeps which log it belongs to, where that is elsewhere."""


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
    scheme = urlsplit(settings.engine).scheme
    opening = _ENGINES.get(scheme)
    if opening is None:
        raise SettingsError(
            f"there is no engine {scheme or settings.engine!r}; give postgresql://… or nats://…"
        )
    return await opening(settings)


async def _postgres(settings: Settings) -> Stores:
    if settings.ledger not in ("", settings.engine):
        raise SettingsError("PostgreSQL holds log and ledger; leave out the ledger")
    await _need("asyncpg", "postgres")
    # asyncpg is an extra: who has a data directory need not have it
    from busway.engine.postgres.store import open_stores as opened  # noqa: PLC0415

    return await opened(settings)


async def _jetstream(settings: Settings) -> Stores:
    if urlsplit(settings.ledger).scheme not in _POSTGRES:
        raise SettingsError(
            "a log at nats://… needs a ledger in PostgreSQL; give --ledger postgresql://…"
        )
    await _need("nats", "nats")
    await _need("asyncpg", "postgres")
    from busway.engine.postgres.store import open_ledger  # noqa: PLC0415

    ledger, place = await open_ledger(settings)
    try:
        log = await _jetstream_log(settings)
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


async def _jetstream_log(settings: Settings) -> JetStreamLog:
    from busway.engine.jetstream import JetStreamLog, Place  # noqa: PLC0415

    limits = (settings.max_log_bytes, settings.max_event_bytes)
    return await JetStreamLog.open(Place.of(settings.engine), settings.partitions, *limits)


def _name_of(settings: Settings) -> str:
    from busway.engine.jetstream import Place  # noqa: PLC0415

    return str(Place.of(settings.engine))


async def _belong_together(ledger: Ledger, identity: str) -> None:
    await ledger.change([Change(_LOG, identity.encode(), expected=None)])
    found = (await ledger.get(_LOG))[_LOG].decode()
    if found != identity:
        raise StoreDamaged(
            f"this ledger belongs to the log {found}, and not to {identity}; give the one with it"
        )


async def _need(package: str, extra: str) -> None:
    if await asyncio.to_thread(find_spec, package) is None:
        raise SettingsError(f"this engine needs {package}: pip install 'busway[{extra}]'")


_POSTGRES = ("postgresql", "postgres")
_ENGINES: dict[str, Opening] = {
    "postgresql": _postgres,
    "postgres": _postgres,
    "nats": _jetstream,
    "tls": _jetstream,
}
