"""How fast a flow's events come and go."""

from __future__ import annotations

import msgspec


class Rates(msgspec.Struct, frozen=True):
    """Events per second over the last seconds: into the flow, delivered by it, and failed in it."""

    incoming: float = 0.0
    delivered: float = 0.0
    failed: float = 0.0
