"""A compiled flow: rule, steps and sink, ready to run."""

from __future__ import annotations

import msgspec

from busway.delivery.backoff import Backoff
from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.maintenance_window import Window
from busway.delivery.rate import Rate
from busway.flow.alert import Alert
from busway.flow.limit import CompiledLimit
from busway.flow.start_position import StartPosition
from busway.ports import Sink, Source
from busway.rule import Pattern
from busway.step import Step


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled flow; ``version`` is the hash of the code that it runs."""

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
    """When the destination's breaker opens; ``None``: not declared."""
    limits: tuple[str, ...] = ()
    """The named limits that apply to its deliveries."""
    original_name: str = ""
    """The first name, which sinks and idempotency keys use even after a rename."""

    def __post_init__(self) -> None:
        if not self.original_name:
            msgspec.structs.force_setattr(self, "original_name", self.name)


class CompiledApp(msgspec.Struct, frozen=True):
    """An app's compiled flows, alerts, limits and sources."""

    name: str
    flows: tuple[Flow, ...]
    alerts: tuple[Alert, ...] = ()
    limits: tuple[CompiledLimit, ...] = ()
    warnings: tuple[str, ...] = ()
    """Probable mistakes that do not prevent running, with their locations."""
    sources: tuple[Source, ...] = ()
    """The declared sources; their names are unique."""
    takes_events: bool = True
    """Whether ``POST /events`` accepts CloudEvents."""

    def breaker_policy_of(self, sink: Sink) -> BreakerPolicy:
        """Return the breaker policy of a destination, as one of its flows declares it."""
        policies = (
            flow.breaker_policy
            for flow in self.flows
            if flow.sink == sink and flow.breaker_policy is not None
        )
        return next(policies, BreakerPolicy())
