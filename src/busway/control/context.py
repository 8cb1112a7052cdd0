"""The context of an operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from busway.clock import Clock, SystemClock
from busway.control.flow_rate import FlowRates
from busway.event import Event
from busway.ports import Destination, Ledger, Log

if TYPE_CHECKING:  # commands that query a server do not load it
    from busway.flow.flow import CompiledApp


def _no_program() -> CompiledApp | None:
    return None


def _no_rates() -> Mapping[str, FlowRates]:
    return {}


def _no_destination(flow: str) -> Destination | None:
    return None


def _wake_nobody() -> None:
    """Do nothing."""


class ControlContext(msgspec.Struct, frozen=True, kw_only=True):
    """The stores, the clock, and the running program (``program`` returns ``None`` if none runs).

    ``shared`` is whether several processes may use the stores. ``started_at`` is when the program
    started. ``rates`` returns the latest rates of each flow, ``destination`` the destination of a
    flow that runs in this process. ``publish`` puts events on the bus; it is ``None`` if nothing
    could deliver them. ``wake`` is called after a change that the running loops should notice at
    once instead of at their next poll.
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
