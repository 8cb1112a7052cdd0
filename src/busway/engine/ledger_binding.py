"""Which log a ledger belongs to, and whether a move into it is finished."""

from __future__ import annotations

import msgspec

from busway.errors import StoreCorrupted, StoreMoved
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.ports.move import LOG_IDENTITY_KEY, MOVE_KEY, Move


async def bound_log_identity(ledger: Ledger) -> str:
    """Return the identity of the log that a ledger belongs to, empty where it is new."""
    # lanes first: a ledger is bound to a log before it gets lanes
    lanes = await ledger.lanes()
    values = await ledger.get_values(LOG_IDENTITY_KEY)
    if lanes and LOG_IDENTITY_KEY not in values:
        raise StoreCorrupted(
            "this ledger belongs to the log in its own database: its cursors mean nothing in"
            " another log; give a database without a Busway, or this database as the engine"
        )
    return values[LOG_IDENTITY_KEY].decode() if LOG_IDENTITY_KEY in values else ""


async def bind_ledger(ledger: Ledger, identity: str) -> None:
    """Bind a ledger to a log.

    Raises :class:`StoreCorrupted` if it is bound to another one.
    """
    # again: a process that has opened the ledger meanwhile may have created lanes
    await bound_log_identity(ledger)
    await ledger.change_values([ValueChange(LOG_IDENTITY_KEY, identity.encode(), expected=None)])
    bound = await bound_log_identity(ledger)
    if bound != identity:
        raise StoreCorrupted(
            f"this ledger belongs to the log {bound}, not to {identity}; give the address of"
            " its log"
        )


async def refuse_unfinished_move(ledger: Ledger, label: str) -> None:
    """Raise :class:`StoreMoved` while a move into the ledger is unfinished."""
    value = (await ledger.get_values(MOVE_KEY)).get(MOVE_KEY)
    move = None if value is None else msgspec.json.decode(value, type=Move)
    if move is not None and move.finished_at is None:
        raise StoreMoved(
            f"{label}: a move from {move.origin} into it is unfinished; run `busway move` again"
            " to continue it"
        )


async def refuse_bound_ledger(ledger: Ledger, label: str) -> None:
    """Raise :class:`StoreCorrupted` for a ledger whose log is not in the same database."""
    if LOG_IDENTITY_KEY in await ledger.get_values(LOG_IDENTITY_KEY):
        raise StoreCorrupted(
            f"{label} is the ledger of a log in NATS: events appended here would not be delivered;"
            " give nats://… as the engine, and this as the ledger"
        )
