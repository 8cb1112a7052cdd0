"""How fast the events of each flow come and go, from what stood where a few seconds ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from busway.control.flow.status import FlowStatus
from busway.control.rate import Rates

WINDOW_S = 10.0


class Meter:
    """Keeps what stood where for ten seconds."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, tuple[int, int]]]] = deque()

    def note(self, now_s: float, statuses: Sequence[FlowStatus]) -> None:
        """Note how it stands at a time, in monotonic seconds."""
        self._looks.append((now_s, {one.name: (one.accepted, one.delivered) for one in statuses}))
        while len(self._looks) > 2 and self._looks[1][0] <= now_s - WINDOW_S:
            self._looks.popleft()

    def rates(self) -> Mapping[str, Rates]:
        """Return the rate of each flow that has been seen twice; never a negative one."""
        if len(self._looks) < 2:
            return {}
        (began_s, before), (ended_s, after) = self._looks[0], self._looks[-1]
        passed_s = ended_s - began_s
        if passed_s <= 0:
            return {}
        return {
            name: Rates(
                *(
                    round(max(new - old, 0) / passed_s, 3)
                    for new, old in zip(counts, before[name], strict=True)
                )
            )
            for name, counts in after.items()
            if name in before
        }
