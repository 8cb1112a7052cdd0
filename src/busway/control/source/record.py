"""The records of sources in the ledger: declaration, counts, and pauses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from busway.delivery.operator_control import Pause
from busway.flow.flow import CompiledApp
from busway.named_value import ValueChange
from busway.ports import EVENTS, Ledger, RequestSource, source_address

SOURCE = "source/"
SOURCE_COUNTS = "source-counts/"
SOURCE_PAUSE = "source-pause/"

SourceKind = Literal["request", "reader"]


class SourceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A source as it was last started.

    ``type`` is the source's type, like ``webhook``; ``address`` is the path at which a request
    source receives. ``declared`` is false once a program was started without it.
    """

    kind: SourceKind
    type: str
    address: str = ""
    declared: bool = True


class LastRefusal(msgspec.Struct, frozen=True):
    """The last refused request: its time, the code of the reason, and its text."""

    at: datetime
    code: str
    text: str


class SourceCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The counts of a source since it was first declared.

    ``accepted`` and ``duplicates`` count events, ``refused`` counts requests by the code of the
    reason. ``received_at`` is when the last event came, a duplicate included.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: Mapping[str, int] = {}
    received_at: datetime | None = None
    last_refusal: LastRefusal | None = None

    def __add__(self, other: SourceCounts) -> SourceCounts:
        """Return the counts of both, with the later times."""
        return SourceCounts(
            accepted=self.accepted + other.accepted,
            duplicates=self.duplicates + other.duplicates,
            refused=dict(Counter(self.refused) + Counter(other.refused)),
            received_at=max(filter(None, (self.received_at, other.received_at)), default=None),
            last_refusal=max(
                filter(None, (self.last_refusal, other.last_refusal)),
                key=lambda refusal: refusal.at,
                default=None,
            ),
        )


async def source_records(ledger: Ledger) -> Mapping[str, SourceRecord]:
    """Return the record of each source, by name."""
    values = await ledger.get_values(SOURCE)
    return {
        name.removeprefix(SOURCE): msgspec.json.decode(value, type=SourceRecord)
        for name, value in values.items()
    }


async def source_counts(ledger: Ledger) -> Mapping[str, SourceCounts]:
    """Return the counts of each source, by name."""
    values = await ledger.get_values(SOURCE_COUNTS)
    return {
        name.removeprefix(SOURCE_COUNTS): msgspec.json.decode(value, type=SourceCounts)
        for name, value in values.items()
    }


async def source_pauses(ledger: Ledger) -> Mapping[str, Pause]:
    """Return the pauses of sources, by name; some may have ended."""
    values = await ledger.get_values(SOURCE_PAUSE)
    return {
        name.removeprefix(SOURCE_PAUSE): msgspec.json.decode(value, type=Pause)
        for name, value in values.items()
    }


def records_of(program: CompiledApp) -> Mapping[str, SourceRecord]:
    """Return the sources of a program, ``/events`` among them, by name."""
    records = {EVENTS: SourceRecord("request", "cloudevents", source_address(EVENTS))}
    for source in program.sources:
        kind = type(source).__name__.lower()
        if isinstance(source, RequestSource):
            address = source_address(source.name)
            records[source.name] = SourceRecord("request", kind, address)
        else:
            records[source.name] = SourceRecord("reader", kind)
    if not program.takes_events:
        del records[EVENTS]
    return records


async def keep_records(ledger: Ledger, declared: Mapping[str, SourceRecord]) -> None:
    """Store the sources of a program that starts, and mark the others as undeclared."""
    kept = await source_records(ledger)
    undeclared = {
        name: msgspec.structs.replace(record, declared=False)
        for name, record in kept.items()
        if name not in declared
    }
    changed = {
        name: record
        for name, record in {**undeclared, **declared}.items()
        if kept.get(name) != record
    }
    if changed:
        await ledger.change_values(
            [
                ValueChange(SOURCE + name, msgspec.json.encode(record))
                for name, record in changed.items()
            ]
        )


async def add_counts(ledger: Ledger, added: Mapping[str, SourceCounts]) -> bool:
    """Add to the counts of sources, in one transaction.

    Returns false, and adds nothing, if another process changed one of them in the meantime.
    """
    changes = []
    for name, more in added.items():
        key = SOURCE_COUNTS + name
        value = (await ledger.get_values(key)).get(key)
        before = SourceCounts() if value is None else msgspec.json.decode(value, type=SourceCounts)
        changes.append(ValueChange(key, msgspec.json.encode(before + more), expected=value))
    return not changes or await ledger.change_values(changes)
