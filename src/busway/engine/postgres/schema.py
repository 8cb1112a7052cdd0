"""The tables in PostgreSQL, by version: made and taken forward under a lock.

A directory ``sql/schema/NNNN`` takes the tables from the version before to version N: its
statements, in the order of their names, in one transaction. What is in there is never changed
after a release; what is to be different is a directory more.

While workers are replaced, those of the version before still run: a migration must leave their
statements right. What cannot be done so takes two versions (add first, take away in the next), and
what would be wrong for older ones still gets a new name, so that they fail instead.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files

from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import Connector, Session
from busway.driver.postgres.timeout import short_session
from busway.engine.postgres.database import fetch, sql, translating_errors
from busway.engine.postgres.watchdog import watched_session
from busway.errors import StoreTooNew

SCHEMA = "busway"
_ADVISORY_LOCK = 0x42_57_53_43


@cache
def migrations() -> dict[int, tuple[str, ...]]:
    """Return the names of the statements that take the tables to each version."""
    found = (files(__package__) / "sql" / "schema").iterdir()
    steps = {int(one.name): one for one in found if one.is_dir()}
    return {
        number: tuple(
            f"schema/{step.name}/{name.removesuffix('.sql')}"
            for name in sorted(file.name for file in step.iterdir())
        )
        for number, step in sorted(steps.items())
    }


VERSION = max(migrations())


async def migrate(url: str, schema: str, partitions: int, version: int = VERSION) -> str:
    """Make the tables or take them forward to a version; return the identity of the log.

    Many processes may at once: one of them does a step, the others wait for it. Raises
    :class:`StoreTooNew` for tables of a newer Busway, :class:`StoreError` when the server cannot
    be used now; the tables are of a whole version then.
    """
    way = Connector(PostgresAddress.parse(url))
    with translating_errors(way.address.label):
        async with watched_session(way, schema) as session:
            while (meta := await _meta(session, schema)).get("version") != str(version):
                _refuse_newer(meta, version, way.address.label)
                await _apply_next_migration(session, schema, meta)
            return meta.get("identity") or await _assign_identity(session, schema, partitions)


async def is_initialized(url: str, schema: str = SCHEMA) -> bool:
    """Say whether a database has the tables of a log or a ledger; makes nothing.

    Raises :class:`StoreError` when the server cannot be used now, :class:`SettingsError` where a
    file that the address names cannot be read.
    """
    way = Connector(PostgresAddress.parse(url))
    way.address.check_files()
    with translating_errors(way.address.label):
        async with short_session(way, schema) as session:
            return "identity" in await _meta(session, schema)


async def _meta(session: Session, schema: str) -> dict[str, str]:
    if not (await fetch(session, "schema/is_initialized", schema))[0][0]:
        return {}
    return {str(name): str(value) for name, value in await fetch(session, "get_meta")}


def _refuse_newer(meta: dict[str, str], version: int, label: str) -> None:
    if int(meta.get("version", 0)) > version:
        raise StoreTooNew(
            f"{label} has tables of version {meta['version']} and this Busway knows {version};"
            " upgrade Busway"
        )


async def _apply_next_migration(
    session: Session, schema: str, expected_meta: dict[str, str]
) -> None:
    """Take the tables to the version after the one that was seen, unless somebody else did."""
    async with _exclusively(session):
        if await _meta(session, schema) != expected_meta:
            return
        number = int(expected_meta.get("version", 0)) + 1
        if number == 1 and not (await fetch(session, "schema/schema_exists", schema))[0][0]:
            await session.execute(sql("schema/create_schema").format(schema=schema))
        for statement in migrations()[number]:
            await session.execute(sql(statement))
        await fetch(session, "put_meta", "version", str(number))


async def _assign_identity(session: Session, schema: str, partitions: int) -> str:
    """Give a new log its identity and its partitions; return the identity that it has."""
    async with _exclusively(session):
        meta = await _meta(session, schema)
        if "identity" not in meta:
            meta["identity"] = str(uuid.uuid4())
            await fetch(session, "put_meta", "identity", meta["identity"])
            await fetch(session, "log/add_partitions", partitions)
        return meta["identity"]


@asynccontextmanager
async def _exclusively(session: Session) -> AsyncIterator[None]:
    """Run a transaction while no other process does; its own statements wait a minute at most."""
    async with session.transaction():
        await fetch(session, "schema/advisory_lock", _ADVISORY_LOCK)
        await session.execute(sql("schema/lock_timeout"))
        yield
