"""The ``postgres`` sink: rows of one table of a PostgreSQL database, each event exactly once."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from busway.declarable import DeclarableFunction
from busway.errors import SinkError
from busway.missing_package import install_hint
from busway.ports import Destination, ResultLocation, SinkContext
from busway.settings import Env, resolve
from busway.sink.option import (
    ColumnTypes,
    KeyColumns,
    check_count_option,
    check_table_option,
    column_types,
    display_value,
    key_columns,
    seconds_option,
)
from busway.sink.postgres.table_config import MAX_NAME_BYTES, PostgresTableConfig


class Postgres(DeclarableFunction, frozen=True):
    """A table of a PostgreSQL database that receives the rows of each event exactly once.

    >>> Postgres("postgresql://me:secret@db.example/shop", table="orders", key="order_id").name
    'postgres db.example/shop orders'

    Rows are dicts of column to value, upserted by ``key`` (one column or several), inserted without
    a key. ``create`` creates the table, adds columns from the data and widens integer columns;
    ``columns`` sets the types of such columns. ``timeout`` limits a statement, ``connections`` the
    open connections.
    """

    dsn: str | Env
    table: str
    key: KeyColumns = None
    schema: str = "public"
    create: bool = False
    columns: ColumnTypes = None
    timeout: str | float = "60s"
    connections: int = 4

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "key", key_columns(self.key))
        msgspec.structs.force_setattr(self, "columns", column_types(self.columns))

    @property
    def name(self) -> str:
        return f"postgres {self.location} {self.table}"

    @property
    def location(self) -> str:
        """The server and the database, without user and password."""
        return display_value(self.dsn) if isinstance(self.dsn, Env) else _location(self.dsn)

    @property
    def keeps_positions(self) -> Literal[True]:
        return True

    def result_location(self) -> ResultLocation:
        return ResultLocation(
            "table",
            f"{self.schema}.{self.table} of postgres {self.location}",
            key_columns(self.key),
        )

    async def open(self, context: SinkContext) -> Destination:
        self.validate_config()
        # asyncpg is an extra that is needed only for this sink.
        from busway.sink.postgres.destination import PostgresDestination  # noqa: PLC0415

        return PostgresDestination(self.table_config())

    def validate_config(self) -> None:
        if find_spec("asyncpg") is None:
            raise SinkError(f"the postgres sink needs asyncpg; {install_hint('asyncpg')}")
        self.table_config()

    def table_config(self) -> PostgresTableConfig:
        """Return the configuration with its variables resolved.

        Raises :class:`SinkError` if the declaration is invalid.
        """
        dsn = resolve(self.dsn)
        if dsn.partition("://")[0] not in ("postgres", "postgresql"):
            raise SinkError("postgres(dsn=…): give a URL like postgresql://user@host/database")
        key = key_columns(self.key)
        check_table_option("postgres", self.table, key)
        if not self.schema or "\0" in self.schema:
            raise SinkError(f"postgres(schema={self.schema!r}): give the name of a schema")
        for name in (self.schema, self.table, *key):
            if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
                raise SinkError(f"postgres: PostgreSQL takes {MAX_NAME_BYTES} bytes, not {name!r}")
        check_count_option("postgres", "connections", self.connections)
        return PostgresTableConfig(
            dsn,
            _location(dsn),
            self.schema,
            self.table,
            key,
            self.create,
            dict(column_types(self.columns)),
            seconds_option("postgres", "timeout", self.timeout),
            self.connections,
        )


def _location(dsn: str) -> str:
    try:
        parts = urlsplit(dsn)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        return "(not a URL)"
