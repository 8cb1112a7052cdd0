"""How fast the events of each flow come and go, from what stood where a few seconds ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from busway.control.flow.status import FlowStatus
from busway.control.flow_rate import FlowRates

WINDOW_S = 10.0


class FlowRateMeter:
    """Keeps what stood where for ten seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, tuple[int, int]]]] = deque()

    def add_sample(self, now_s: float, statuses: Sequence[FlowStatus]) -> None:
        """Note how it stands at a time, in monotonic seconds."""
        self._samples.append((now_s, {one.name: (one.accepted, one.delivered) for one in statuses}))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - WINDOW_S:
            self._samples.popleft()

    def rates(self) -> Mapping[str, FlowRates]:
        """Return the rate of each flow that has been seen twice; never a negative one."""
        if len(self._samples) < 2:
            return {}
        (began_s, before), (ended_s, after) = self._samples[0], self._samples[-1]
        passed_s = ended_s - began_s
        if passed_s <= 0:
            return {}
        return {
            name: FlowRates(
                *(
                    round(max(new - old, 0) / passed_s, 3)
                    for new, old in zip(counts, before[name], strict=True)
                )
            )
            for name, counts in after.items()
            if name in before
        }
