"""A flow, compiled: rule, steps and sink, ready to run."""

from __future__ import annotations

from typing import Literal

import msgspec

from busway.delivery.backoff import Backoff
from busway.delivery.throttle import Rate
from busway.ports import Sink
from busway.rule import Pattern
from busway.step import Step

Start = Literal["end", "beginning"]


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What one flow wants, does and where to; ``version`` is the hash of what it runs."""

    name: str
    pattern: Pattern
    steps: tuple[Step, ...]
    sink: Sink
    backoff: Backoff
    rate: Rate | None
    ordered: bool
    start: Start
    version: str
    place: str
    """Where it is declared, as ``file:line``."""


class Program(msgspec.Struct, frozen=True):
    """An app's flows, compiled."""

    name: str
    flows: tuple[Flow, ...]
