"""What an operation works on."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from busway.clock import Clock, SystemClock
from busway.flow import Program
from busway.ports import Ledger, Log


def _no_program() -> Program | None:
    return None


def _nobody() -> None:
    """Nobody has to be told."""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The stores, the clock, the program that runs here (``None``: nothing runs), and whom to wake.

    ``wake`` is called after a change that running loops should notice now rather than at their
    next look.
    """

    log: Log
    ledger: Ledger
    clock: Clock = SystemClock()
    program: Callable[[], Program | None] = _no_program
    wake: Callable[[], None] = _nobody
