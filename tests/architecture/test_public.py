"""The public surface: what is exported, and nothing else."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

PUBLIC: dict[str, list[str]] = {
    "busway.alerts": [
        "backlog_age",
        "backlog_size",
        "breaker_open",
        "dead_letters",
        "disk_free",
        "error_ratio",
        "failing",
        "log_size",
        "new_dead_letters",
        "parked",
        "silence",
    ],
    "busway": [
        *("Adaptive", "App", "Backoff", "BreakerPolicy", "BuswayError", "Event", "Reject", "Step"),
        *("Window", "env"),
    ],
    "busway.ports": [
        "AcceptsMoves",
        "Acknowledges",
        "AnswersAccepted",
        "AppendEnvelope",
        "AppendReceipt",
        "DELIVERED",
        "DecodedEvents",
        "Decoder",
        "Delivered",
        "DeliveredRange",
        "Destination",
        "Down",
        "EVENTS",
        "Engine",
        "EventError",
        "EventFault",
        "Gone",
        "HasAppendTimes",
        "HasGeneration",
        "Intake",
        "KeepsPositions",
        "KnowsDelivered",
        "Ledger",
        "Load",
        "LoadItem",
        "LocatesResults",
        "Log",
        "LogBatch",
        "NOT_ATTEMPTED",
        "NeedsMaintenance",
        "NewBatch",
        "NotAttempted",
        "OpensExisting",
        "Outcome",
        "PartitionBounds",
        "Pingable",
        "PreparesDecoders",
        "RateLimited",
        "ReaderContext",
        "ReaderSource",
        "Received",
        "RecordRefusal",
        "Rejected",
        "ReportsProgress",
        "RequestAnswer",
        "RequestHead",
        "RequestPermits",
        "RequestReceiver",
        "RequestRefusal",
        "RequestSource",
        "ResultLocation",
        "Retry",
        "SettingsError",
        "SharedDirectory",
        "Sink",
        "SinkContext",
        "SinkError",
        "SinkLane",
        "Source",
        "SourceChunk",
        "SourceError",
        "SourceGap",
        "SourceProgress",
        "SourceReading",
        "SourceRequest",
        "StoreError",
        "StoreFull",
        "StoreOptions",
        "Stores",
        "TakesPermits",
        "ValidatesConfig",
        "WakeUps",
        "resolve",
        "source_address",
    ],
    "busway.testing": [
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
    ],
    "busway.steps": [],
    "busway.sources": ["from_field", "from_header", "from_query", "schedule", "webhook"],
    "busway.sinks": ["bus", "chat", "console", "http", "jsonl", "postgres", "smtp", "sqlite"],
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_exports(name: str) -> None:
    assert sorted(importlib.import_module(name).__all__) == PUBLIC[name]


@pytest.mark.parametrize("name", [*PUBLIC, "busway.rule"])
def test_what_is_exported_is_there_and_described(name: str) -> None:
    module: Any = importlib.import_module(name)
    for exported in module.__all__:
        value = getattr(module, exported)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name}.{exported} has no docstring"


def test_pattern_is_where_others_look_for_it() -> None:
    assert "Pattern" in importlib.import_module("busway.rule").__all__
