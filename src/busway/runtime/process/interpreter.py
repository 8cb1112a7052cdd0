"""How the interpreter is set for a process that handles many small objects and a few threads."""

from __future__ import annotations

import gc
import sys

SWITCH_INTERVAL_S = 0.0001
"""How long a step's thread may keep the interpreter while requests wait."""
_GC_THRESHOLD = 50_000


def tune_interpreter() -> None:
    """Let threads take turns often, and look for garbage cycles seldom.

    A batch of some thousand events is far more objects than Python's default of 700 to look at,
    none of them in a cycle: by default a third of the time goes into looking.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
