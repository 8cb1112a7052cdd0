"""The tables in PostgreSQL, by version: made and taken forward under a lock, in one transaction."""

from __future__ import annotations

import uuid

import asyncpg

from busway.engine.postgres.database import CONNECT_S, fetch, place_of, sql, told
from busway.errors import StoreTooNew

SCHEMA = "busway"
_VERSIONS = {
    1: (
        *("partition", "appender", "batch", "batch_storage", "batch_by_time"),
        *("lane", "trouble", "trouble_by_state", "trouble_by_due", "trouble_by_event"),
        *("trouble_by_key", "trouble_by_cause", "trouble_by_event_key"),
        *("settled", "kept", "resolved", "resolved_by_event", "resolved_by_time"),
        *("audit", "audit_by_target"),
    ),
}
"""The statements that take the tables to a version from the one before it."""
VERSION = max(_VERSIONS)
_LOCK = 0x42_57_53_43


async def prepare(url: str, schema: str, partitions: int) -> str:
    """Make the tables or take them forward; return the identity of the log.

    Raises :class:`StoreTooNew` for tables of a newer Busway, :class:`StoreError` when the server
    cannot be used now.
    """
    with told(place_of(url)):
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
        try:
            async with connection.transaction():
                await fetch(connection, "schema/lock", _LOCK)
                for statement in ("create", "use"):
                    await connection.execute(sql(f"schema/{statement}").format(schema=schema))
                return await _upgraded(connection, place_of(url), partitions)
        finally:
            await connection.close()


async def _upgraded(
    connection: asyncpg.Connection[asyncpg.Record], place: str, partitions: int
) -> str:
    if not (await fetch(connection, "schema/is_made"))[0][0]:
        await connection.execute(sql("schema/meta"))
    meta = {str(name): str(value) for name, value in await fetch(connection, "get_meta")}
    found = int(meta.get("version", 0))
    if found > VERSION:
        raise StoreTooNew(
            f"{place} has tables of version {found} and this Busway knows {VERSION}; upgrade Busway"
        )
    for version in range(found + 1, VERSION + 1):
        for statement in _VERSIONS[version]:
            await connection.execute(sql(f"schema/{statement}"))
        await fetch(connection, "put_meta", "version", str(version))
    if "identity" in meta:
        return meta["identity"]
    identity = str(uuid.uuid4())
    await fetch(connection, "put_meta", "identity", identity)
    await fetch(connection, "log/add_partitions", partitions)
    return identity
