"""A flow, compiled: rule, steps and sink, ready to run."""

from __future__ import annotations

import msgspec

from busway.delivery.backoff import Backoff
from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.maintenance_window import Window
from busway.delivery.throttle import Rate
from busway.flow.alert import Alert
from busway.flow.limit import CompiledLimit
from busway.flow.start_position import StartPosition
from busway.ports import Sink, Source
from busway.rule import Pattern
from busway.step import Step


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What one flow wants, does and where to; ``version`` is the hash of what it runs."""

    name: str
    pattern: Pattern
    steps: tuple[Step, ...]
    sink: Sink
    backoff: Backoff
    rate: Rate | None
    ordered: bool
    start: StartPosition
    version: str
    location: str
    """Where it is declared, as ``file:line``."""
    renamed_from: str = ""
    windows: tuple[Window, ...] = ()
    breaker_policy: BreakerPolicy | None = None
    """When its destination's breaker opens; ``None`` where the flow does not say."""
    limits: tuple[str, ...] = ()
    """The named limits that it delivers under."""
    original_name: str = ""
    """The name by which sinks and idempotency keys know it: its first one, also when renamed."""

    def __post_init__(self) -> None:
        if not self.original_name:
            msgspec.structs.force_setattr(self, "original_name", self.name)


class CompiledApp(msgspec.Struct, frozen=True):
    """An app's flows and sources, compiled."""

    name: str
    flows: tuple[Flow, ...]
    alerts: tuple[Alert, ...] = ()
    limits: tuple[CompiledLimit, ...] = ()
    warnings: tuple[str, ...] = ()
    """What runs, and may not be what was meant; with its place."""
    sources: tuple[Source, ...] = ()
    """The declared sources; their names are unique."""
    takes_events: bool = True
    """Whether ``POST /events`` accepts CloudEvents."""

    def breaker_policy_of(self, sink: Sink) -> BreakerPolicy:
        """Return when the breaker of a destination opens, as one of its flows says it."""
        said = (
            flow.breaker_policy
            for flow in self.flows
            if flow.sink == sink and flow.breaker_policy is not None
        )
        return next(said, BreakerPolicy())
