"""The record and the counts of one reader in the ledger, changed by compare-and-set."""

from __future__ import annotations

import msgspec

from busway.control.source.reader import READER, ReaderRecord, decode_reader
from busway.control.source.record import SOURCE_COUNTS, SourceCounts
from busway.errors import BuswayError
from busway.named_value import ValueChange
from busway.ports import Ledger


class ReaderTaken(BuswayError):
    """Another worker, or an operator, changed the record of a reader meanwhile."""


class KeptReader:
    """What the ledger keeps of a reader, as this worker wrote it last."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.name = name
        self.record = ReaderRecord()
        self.counts = SourceCounts()
        self._ledger = ledger
        self._values: dict[str, bytes | None] = {}

    async def load(self) -> ReaderRecord:
        """Return the record as it is now."""
        keys = (READER + self.name, SOURCE_COUNTS + self.name)
        self._values = {key: (await self._ledger.get_values(key)).get(key) for key in keys}
        record, counts = self._values.values()
        self.record = decode_reader(record)
        self.counts = SourceCounts() if counts is None else _decode_counts(counts)
        return self.record

    async def save(self, record: ReaderRecord, counts: SourceCounts) -> None:
        """Keep both in one transaction; raises :class:`ReaderTaken` if they were changed."""
        keys = list(self._values)
        values = dict(zip(keys, map(msgspec.json.encode, (record, counts)), strict=True))
        changes = [ValueChange(key, values[key], expected=self._values[key]) for key in keys]
        if not await self._ledger.change_values(changes):
            raise ReaderTaken(f"somebody else reads from source {self.name!r}")
        self._values = dict(values)
        self.record, self.counts = record, counts


_decode_counts = msgspec.json.Decoder(SourceCounts).decode
