"""The record of a reader in the ledger: its position, its worker, and its last fault."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from busway.ports import Ledger

READER = "reader/"


class AppendIntent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Marks that the log may contain events that the position does not cover yet.

    ``ends`` is where the partitions of the log ended before the first of them was appended,
    ``sources`` are the CloudEvents sources of them; none stands for any. It is written before
    the append, so that the next reader finds in the log what was appended, however late it comes.
    """

    ends: tuple[int, ...]
    sources: tuple[str, ...] = ()


class ReaderFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a reader does not read: the error, ``failures`` in a row ``since`` the first one.

    After a ``gap`` it does not try again until it is resumed; ``continue_at`` is the position from
    which the source still has everything, ``None`` where a new reader begins.
    """

    error: str
    text: str
    since: datetime
    at: datetime
    failures: int = 1
    gap: bool = False
    continue_at: bytes | None = None


class ReaderRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reader: everything up to ``position`` is in the log. One worker at a time changes it.

    ``worker`` is the id of that one, empty where one process works alone. ``next_at`` is when the
    source has something next, ``lag`` how many records wait in it, where it knows.
    """

    position: bytes | None = None
    intent: AppendIntent | None = None
    worker: str = ""
    opened_at: datetime | None = None
    saved_at: datetime | None = None
    fault: ReaderFault | None = None
    next_at: datetime | None = None
    lag: int | None = None


def decode_reader(value: bytes | None) -> ReaderRecord:
    """Decode a record of the ledger; a reader that has not begun has an empty record."""
    return ReaderRecord() if value is None else _decoder.decode(value)


async def reader_records(ledger: Ledger) -> Mapping[str, ReaderRecord]:
    """Return the record of each reader, by the name of its source."""
    values = await ledger.get_values(READER)
    return {name.removeprefix(READER): decode_reader(value) for name, value in values.items()}


_decoder = msgspec.json.Decoder(ReaderRecord)
