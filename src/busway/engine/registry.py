"""Find the engine that the settings name: by the scheme of an address, or for a data directory."""

from __future__ import annotations

import asyncio

from busway.entry_point import EntryPointGroup
from busway.errors import ExtensionError, SettingsError
from busway.ports import Engine, OpensExisting, SharedDirectory, StoreOptions, Stores
from busway.settings import Settings

DIRECTORY = "sqlite"
"""The engine of a data directory."""
_GROUP = EntryPointGroup("busway.engines", "engine")


async def open_stores(
    settings: Settings, shared_directory: SharedDirectory | None = None
) -> Stores:
    """Open the log and the ledger that the settings name, made where there are none.

    ``shared_directory`` is for a data directory that several processes open; servers are open to
    all anyway. Raises :class:`ExtensionError` for an engine that is not installed,
    :class:`SettingsError` for settings that can never work, and :class:`StoreError` when the stores
    cannot be used now.
    """
    engine = await asyncio.to_thread(engine_of, settings)
    return await engine.open_stores(options_of(settings, shared_directory))


async def open_existing(settings: Settings) -> Stores:
    """Open the log and the ledger as :func:`open_stores` does, but make none if that can be seen.

    Raises :class:`SettingsError` where there are none.
    """
    engine = await asyncio.to_thread(engine_of, settings)
    if isinstance(engine, OpensExisting):
        return await engine.open_existing(options_of(settings))
    return await engine.open_stores(options_of(settings))


def engine_of(settings: Settings) -> Engine:
    """Return the engine that the settings name."""
    if settings.ledger and not settings.engine:
        raise SettingsError("a ledger of its own is for a log at nats://…; give that engine")
    scheme = settings.engine.partition("://")[0] if settings.engine else DIRECTORY
    if scheme == settings.engine:
        raise SettingsError(
            f"{scheme!r} is not the address of an engine; give one like postgresql://…, or a data"
            " directory with --data"
        )
    engine = _GROUP.load(scheme)()
    if not isinstance(engine, Engine):
        what = f"it returns a {type(engine).__name__} without a method open_stores"
        raise ExtensionError(f"the engine {scheme!r} is not one: {what}")
    return engine


def options_of(settings: Settings, shared_directory: SharedDirectory | None = None) -> StoreOptions:
    """Return what of the settings an engine needs."""
    return StoreOptions(
        address=settings.engine or str(settings.data),
        ledger=settings.ledger,
        partitions=settings.partitions,
        max_event_bytes=settings.max_event_bytes,
        max_log_bytes=settings.max_log_bytes,
        min_free_bytes=settings.min_free_bytes,
        shared_directory=shared_directory,
    )
