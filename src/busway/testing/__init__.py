"""For tests: stores in memory, a manual clock, and the conformance suites of every port.

A suite needs pytest and pytest-asyncio; it is imported when its name is used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from busway.ports import Stores
from busway.testing.manual_clock import ManualClock
from busway.testing.memory_ledger import MemoryLedger
from busway.testing.memory_log import MemoryLog

if TYPE_CHECKING:
    from busway.testing.exactly_once_sink_suite import ExactlyOnceSinkSuite
    from busway.testing.ledger_suite import DurableLedgerSuite, LedgerSuite
    from busway.testing.log_suite import DurableLogSuite, FullLogSuite, LogSuite
    from busway.testing.outage_sink_suite import OutageSinkSuite
    from busway.testing.reader_source_suite import ReaderSourceSuite
    from busway.testing.request_source_suite import RequestSourceSuite, source_request
    from busway.testing.sink_load import RecordingBus
    from busway.testing.sink_suite import SinkSuite
    from busway.testing.source_suite import SourceSuite

__all__ = [
    "DurableLedgerSuite",
    "DurableLogSuite",
    "ExactlyOnceSinkSuite",
    "FullLogSuite",
    "LedgerSuite",
    "LogSuite",
    "ManualClock",
    "MemoryLedger",
    "MemoryLog",
    "OutageSinkSuite",
    "ReaderSourceSuite",
    "RecordingBus",
    "RequestSourceSuite",
    "SinkSuite",
    "SourceSuite",
    "memory_stores",
    "source_request",
]

_SUITES = [
    f"{__name__}.{module}"
    for module in (
        *("log_suite", "ledger_suite", "ledger_record_suite"),
        *("sink_suite", "exactly_once_sink_suite", "outage_sink_suite"),
        *("source_suite", "request_source_suite", "reader_source_suite"),
    )
]


def memory_stores(partitions: int = 4) -> Stores:
    """Return a log and a ledger in memory."""
    return Stores(MemoryLog(partitions), MemoryLedger())


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest  # noqa: PLC0415 - only suites need it

    # so that a failure shows the values
    pytest.register_assert_rewrite(*(name for name in _SUITES if name not in sys.modules))
    from busway.testing import suite  # noqa: PLC0415 - after that

    globals().update({one: getattr(suite, one) for one in suite.__all__})
    return globals()[name]
