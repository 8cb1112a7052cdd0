"""How fast a flow's events come and go."""

from __future__ import annotations

import msgspec


class FlowRates(msgspec.Struct, frozen=True):
    """Events per second over the last seconds: how many came, how many were delivered."""

    incoming: float = 0.0
    delivered: float = 0.0
