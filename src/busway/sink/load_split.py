"""Splitting of loads into smaller loads that have the same effect in sequence. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from busway.ports import Load


def split_load(load: Load) -> tuple[Load, Load]:
    """Return the first and the second half of a load of two items or more."""
    middle = len(load.items) // 2
    first, second = load.items[:middle], load.items[middle:]
    if load.start is None:
        return replace(load, items=first), replace(load, items=second)
    cut = second[0].offset
    return (
        replace(
            load, items=first, end=cut, failed_offsets=[n for n in load.failed_offsets if n < cut]
        ),
        replace(
            load,
            items=second,
            start=cut,
            failed_offsets=[n for n in load.failed_offsets if n >= cut],
        ),
    )


def without_items(load: Load) -> Load:
    """Return a load that decides the same offsets without delivering any item."""
    failed_offsets = sorted({*load.failed_offsets, *(item.offset for item in load.items)})
    return replace(load, items=(), failed_offsets=failed_offsets)
