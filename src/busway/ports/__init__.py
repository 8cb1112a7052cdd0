"""Every extension point: what Busway asks of a log, a ledger and a sink."""

from busway.ports.intake import Addressed, Appended, Intake
from busway.ports.ledger import Ledger
from busway.ports.log import Batch, Dated, Draft, Log, Revocable
from busway.ports.sink import (
    Checkable,
    Destination,
    Item,
    KeepsPositions,
    KnowsLanded,
    Landing,
    Load,
    Permits,
    Places,
    Reachable,
    Sink,
    Standing,
    Supplies,
    TakesPermits,
)
from busway.ports.store import Hints, Maintained, Sharing, Stores

__all__ = [
    "Addressed",
    "Appended",
    "Batch",
    "Checkable",
    "Dated",
    "Destination",
    "Draft",
    "Hints",
    "Intake",
    "Item",
    "KeepsPositions",
    "KnowsLanded",
    "Landing",
    "Ledger",
    "Load",
    "Log",
    "Maintained",
    "Permits",
    "Places",
    "Reachable",
    "Revocable",
    "Sharing",
    "Sink",
    "Standing",
    "Stores",
    "Supplies",
    "TakesPermits",
]
