"""What an operation works on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from busway.clock import Clock, SystemClock
from busway.control.flow_rate import FlowRates
from busway.event import Event
from busway.ports import Destination, Ledger, Log

if TYPE_CHECKING:  # commands that ask a server do not load it
    from busway.flow.flow import CompiledApp


def _no_program() -> CompiledApp | None:
    return None


def _no_rates() -> Mapping[str, FlowRates]:
    return {}


def _no_destination(flow: str) -> Destination | None:
    return None


def _wake_nobody() -> None:
    """Nobody has to be told."""


class ControlContext(msgspec.Struct, frozen=True, kw_only=True):
    """The stores, the clock, the program that runs here (``None``: nothing runs), and whom to wake.

    ``shared`` says that several processes may work on the stores.
    ``started_at`` is when it began to run, ``rates`` returns what was measured last of each flow.
    ``destination`` returns where a flow that runs here delivers to.
    ``publish`` puts events on the bus, ``None`` where nothing could deliver them.
    ``wake`` is called after a change that running loops should notice now rather than at their
    next look.
    """

    log: Log
    ledger: Ledger
    shared: bool = False
    clock: Clock = SystemClock()
    program: Callable[[], CompiledApp | None] = _no_program
    started_at: datetime | None = None
    rates: Callable[[], Mapping[str, FlowRates]] = _no_rates
    destination: Callable[[str], Destination | None] = _no_destination
    publish: Callable[[Sequence[Event]], Awaitable[None]] | None = None
    wake: Callable[[], None] = _wake_nobody
