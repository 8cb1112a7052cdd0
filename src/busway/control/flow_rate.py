"""The rates at which a flow receives and delivers events."""

from __future__ import annotations

import msgspec


class FlowRates(msgspec.Struct, frozen=True):
    """Events per second over the last seconds: appended, and delivered."""

    incoming: float = 0.0
    delivered: float = 0.0
