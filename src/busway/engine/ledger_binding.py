"""Which log a ledger belongs to, and whether a move into it is finished."""

from __future__ import annotations

import msgspec

from busway.errors import StoreCorrupted, StoreMoved
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.ports.move import LOG_IDENTITY_KEY, MOVE_KEY, Move


async def bound_log_identity(ledger: Ledger) -> str:
    """Return the identity of the log that a ledger belongs to, empty where it is new."""
    lanes = await ledger.lanes()  # before the look: whoever belongs elsewhere says so before lanes
    kept = await ledger.get_values(LOG_IDENTITY_KEY)
    if lanes and LOG_IDENTITY_KEY not in kept:
        raise StoreCorrupted(
            "this ledger belongs to the log in its own database: its cursors mean nothing in"
            " another one; give a database without a Busway, or that one as the engine"
        )
    return kept[LOG_IDENTITY_KEY].decode() if LOG_IDENTITY_KEY in kept else ""


async def bind_ledger(ledger: Ledger, identity: str) -> None:
    """Have a ledger belong to a log.

    Raises :class:`StoreCorrupted` if it belongs to another one.
    """
    await bound_log_identity(ledger)  # again: what has opened it meanwhile may have lanes there
    await ledger.change_values([ValueChange(LOG_IDENTITY_KEY, identity.encode(), expected=None)])
    found = await bound_log_identity(ledger)
    if found != identity:
        raise StoreCorrupted(
            f"this ledger belongs to the log {found}, and not to {identity}; give the one with it"
        )


async def refuse_unfinished_move(ledger: Ledger, place: str) -> None:
    """Raise :class:`StoreMoved` while a move into the ledger is unfinished."""
    kept = (await ledger.get_values(MOVE_KEY)).get(MOVE_KEY)
    move = None if kept is None else msgspec.json.decode(kept, type=Move)
    if move is not None and move.finished_at is None:
        raise StoreMoved(
            f"{place}: a move from {move.origin} into it is unfinished; give `busway move` again,"
            " and it goes on"
        )


async def refuse_bound_ledger(ledger: Ledger, place: str) -> None:
    """Raise :class:`StoreCorrupted` for a ledger whose log is not in the same database."""
    if LOG_IDENTITY_KEY in await ledger.get_values(LOG_IDENTITY_KEY):
        raise StoreCorrupted(
            f"{place} is the ledger of a log in NATS: what is appended here would not be delivered;"
            " give nats://… as the engine, and this as the ledger"
        )
