"""A sink with its opened destination."""

from __future__ import annotations

import msgspec

from busway.concurrency import Concurrency, parse_concurrency
from busway.ports import Destination, KeepsPositions, Sink, TakesPermits


class OpenedSink(msgspec.Struct, frozen=True):
    """A sink that has been opened."""

    sink: Sink
    destination: Destination

    @property
    def keeps_positions(self) -> bool:
        return isinstance(self.sink, KeepsPositions) and self.sink.keeps_positions

    @property
    def concurrency(self) -> Concurrency | None:
        """The limit on concurrent requests; ``None`` if the sink takes no permits."""
        if isinstance(self.sink, TakesPermits) and self.sink.takes_permits:
            return parse_concurrency(self.sink.concurrency)
        return None
