"""Logs settlements, summed up: at most one line per flow and interval."""

from __future__ import annotations

import structlog

from busway.clock import Clock
from busway.lane import Counts
from busway.runtime.loop import Loop
from busway.settlement import Settlement

_log = structlog.get_logger("busway")
INTERVAL_S = 1.0
"""How often the settlements of each flow are logged."""


class SettlementLog:
    """Sums up the settlements of each flow and logs the sums every second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._summaries: dict[str, _Summary] = {}

    def add(self, settlement: Settlement, duration_s: float) -> None:
        """Add a settlement to the next line of its flow; called once a batch."""
        summary = self._summaries.get(settlement.flow)
        if summary is None:
            summary = self._summaries[settlement.flow] = _Summary()
        summary.add(settlement, duration_s)

    def flush(self) -> None:
        """Log what was added since the last flush, one line per flow."""
        summaries, self._summaries = self._summaries, {}
        for flow, summary in summaries.items():
            summary.log(flow)

    async def run_once(self, loop: Loop) -> None:
        """Wait for an interval, and flush."""
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)
        self.flush()


class _Summary:
    """The settlements of one flow since its last line."""

    def __init__(self) -> None:
        self._settlements = 0
        self._counts = [0] * len(Counts.__struct_fields__)
        self._offsets: dict[int, list[int]] = {}
        self._slowest_s = 0.0

    def add(self, settlement: Settlement, duration_s: float) -> None:
        self._settlements += 1
        for index, count in enumerate(settlement.counts.values()):
            self._counts[index] += count
        offsets = self._offsets.setdefault(settlement.partition, [settlement.start, 0])
        offsets[1] = settlement.end
        self._slowest_s = max(self._slowest_s, duration_s)

    def log(self, flow: str) -> None:
        _log.info(
            "settled",
            flow=flow,
            settlements=self._settlements,
            **dict(zip(Counts.__struct_fields__, self._counts, strict=True)),
            offsets={partition: self._offsets[partition] for partition in sorted(self._offsets)},
            slowest_ms=round(self._slowest_s * 1000, 1),
        )
