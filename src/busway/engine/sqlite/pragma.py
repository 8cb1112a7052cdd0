"""Settings of a connection: WAL mode, and an fsync for every commit."""

from __future__ import annotations

WAL_LIMIT_BYTES = 64 * 1024 * 1024


def pragmas(page_bytes: int) -> dict[str, str | int]:
    """Return the pragmas of a connection; ``page_bytes`` is that of a new file, else 0."""
    for_new_file: dict[str, str | int] = {"page_size": page_bytes, "journal_mode": "wal"}
    return (for_new_file if page_bytes else {}) | {
        "synchronous": "full",
        "foreign_keys": True,
        "secure_delete": "off",
        "wal_autocheckpoint": 0,
        "journal_size_limit": WAL_LIMIT_BYTES,
        "cache_size": -4_096,
    }
