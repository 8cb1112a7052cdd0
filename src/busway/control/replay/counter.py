"""Counts of a replay that its lanes lack: events skipped, and events that failed again."""

from __future__ import annotations

import msgspec

from busway.ports import Ledger

SKIPPED_COUNT = "replay/"
"""Prefix of the values that count a replay's skipped events, by replay id and partition."""
FAILED_AGAIN_COUNT = "failed-again/"
"""Prefix of the values that count the dead letters that failed again, by replay id."""


def skipped_key(id: str, partition: int) -> str:
    """Return the name of the value that counts the skipped events of a partition."""
    return f"{SKIPPED_COUNT}{id}/{partition}"


async def skipped_count(ledger: Ledger, id: str, partition: int | None = None) -> int:
    """Return how many events a replay has skipped, in one partition or in all."""
    prefix = f"{SKIPPED_COUNT}{id}/" if partition is None else skipped_key(id, partition)
    values = await ledger.get_values(prefix)
    names = values if partition is None else [name for name in values if name == prefix]
    return sum(msgspec.json.decode(values[name], type=int) for name in names)


def failed_again_key(id: str) -> str:
    """Return the name of the value that counts the events of a replay that failed again."""
    return f"{FAILED_AGAIN_COUNT}{id}"


async def failed_again_count(ledger: Ledger, id: str) -> int:
    """Return how many of a replay's events were dead letters of its flow, and failed again."""
    value = (await ledger.get_values(failed_again_key(id))).get(failed_again_key(id))
    return 0 if value is None else msgspec.json.decode(value, type=int)
