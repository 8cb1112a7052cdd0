"""All suites, and what they are used with: ``busway.testing`` imports this when one is used."""

from __future__ import annotations

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
    "OutageSinkSuite",
    "ReaderSourceSuite",
    "RecordingBus",
    "RequestSourceSuite",
    "SinkSuite",
    "SourceSuite",
    "source_request",
]
