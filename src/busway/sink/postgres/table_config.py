"""What an opened ``postgres`` sink works with: its declaration, filled in and checked."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

MAX_NAME_BYTES = 63
"""How many bytes PostgreSQL takes for a name; it cuts the rest without an error."""


class PostgresTableConfig(msgspec.Struct, frozen=True):
    """A table, and how to get to it; the fields are those of ``Postgres``."""

    dsn: str
    location: str
    """The server and the database, without user and password."""
    schema: str
    table: str
    key: tuple[str, ...]
    create: bool
    columns: Mapping[str, str]
    timeout_s: float
    connections: int
