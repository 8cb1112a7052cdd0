"""How many random examples a property is tried with: few by ``make test``, many by ``thorough``.

Every run draws others, so that a day of runs tries what one long run would.
"""

from __future__ import annotations

import os

EFFORT = float(os.environ.get("BUSWAY_TEST_EFFORT", "1"))


def examples(usual: int) -> int:
    """Return how many examples to try where a usual run tries ``usual``."""
    return max(1, round(usual * EFFORT))
