"""The origin and the target of a move."""

from __future__ import annotations

from pathlib import Path

from busway.engine.registry import engine_of, options_of
from busway.engine.sqlite.move import SqliteMoveOrigin
from busway.errors import SettingsError
from busway.ports.move import AcceptsMoves, MoveOrigin, MoveTarget
from busway.settings import Settings


async def open_origin(path: Path) -> MoveOrigin:
    """Open a data directory that is to be moved, for this process alone.

    Raises :class:`NotFound` if there is none, :class:`StoreLocked` if it is in use, and
    :class:`StoreError` if it cannot be used.
    """
    return await SqliteMoveOrigin.open(path)


def target_of(settings: Settings) -> MoveTarget:
    """Return the target that the settings name; raises :class:`SettingsError` for none."""
    engine = engine_of(settings)
    if not isinstance(engine, AcceptsMoves):
        raise SettingsError("an installation is moved to postgresql://… or nats://…; give --to")
    return engine.move_target(options_of(settings))
