"""For tests: stores in memory, a hand-turned clock, and what every engine must pass.

The suites need pytest; they are :class:`LogSuite` in ``busway.testing.log_suite`` and
:class:`LedgerSuite` in ``busway.testing.ledger_suite``.
"""

from busway.ports import Stores
from busway.testing.manual_clock import ManualClock
from busway.testing.memory_ledger import MemoryLedger
from busway.testing.memory_log import MemoryLog

__all__ = ["ManualClock", "MemoryLedger", "MemoryLog", "memory_stores"]


def memory_stores(partitions: int = 4) -> Stores:
    """Return a log and a ledger in memory."""
    return Stores(MemoryLog(partitions), MemoryLedger())
