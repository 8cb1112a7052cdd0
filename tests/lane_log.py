"""What workers say of lanes that others took from them: rightly, where they were silent so long."""

from __future__ import annotations

import json
from typing import Any

from busway.delivery.rebalance import DEAD_AFTER_S

_TAKEN = "lane lost to another worker"


def taken_away(log: str) -> list[dict[str, Any]]:
    """Return the lines of a worker's log about lanes that were taken from it."""
    whole = log[: log.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if _TAKEN in line]


def taken_from_the_living(log: str) -> list[dict[str, Any]]:
    """Return those of which the others must have known that the worker lived."""
    return [one for one in taken_away(log) if one["silent_s"] < DEAD_AFTER_S]
