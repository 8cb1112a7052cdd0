"""Configuration of an opened ``postgres`` sink: its declaration, resolved and validated."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

MAX_NAME_BYTES = 63
"""How many bytes PostgreSQL allows for a name; it truncates longer names silently."""


class PostgresTableConfig(msgspec.Struct, frozen=True):
    """A table and its connection settings; the fields are those of ``Postgres``."""

    dsn: str
    location: str
    """The server and the database without user and password."""
    schema: str
    table: str
    key: tuple[str, ...]
    create: bool
    columns: Mapping[str, str]
    timeout_s: float
    connections: int
