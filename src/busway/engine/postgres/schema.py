"""The tables in PostgreSQL, by version: created and migrated under a lock.

A directory ``sql/schema/NNNN`` migrates the tables from the version before to version N: its
statements, in the order of their names, in one transaction. The first one creates them. What is in
such a directory is never changed after a release; a change is another directory.

During a rolling upgrade workers of the version before still run: a migration must keep their
statements right. A change that cannot do so takes two versions (add first, remove in the next), and
a change that would mislead still older workers renames a table or column, so that they fail
instead.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files

from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import Connector
from busway.driver.postgres.session import Session
from busway.driver.postgres.timeout import short_session
from busway.driver.postgres.watchdog import watched_session
from busway.engine.postgres.database import Connection, fetch, sql
from busway.engine.postgres.error import translating_errors
from busway.errors import StoreTooNew, StoreTooOld

SCHEMA = "busway"
Migrations = Mapping[int, Sequence[str]]
"""By version, the statements that lead to it; the lowest version is the first to be created."""
_ADVISORY_LOCK = 0x42_57_53_43


@cache
def migrations() -> Migrations:
    """Return all migrations that this Busway knows."""
    entries = (files(__package__) / "sql" / "schema").iterdir()
    directories = {int(entry.name): entry for entry in entries if entry.is_dir()}
    return {
        version: tuple(
            sql(f"schema/{directory.name}/{name.removesuffix('.sql')}")
            for name in sorted(file.name for file in directory.iterdir())
        )
        for version, directory in sorted(directories.items())
    }


async def migrate(url: str, schema: str, partitions: int, steps: Migrations | None = None) -> str:
    """Create the tables or migrate them to the newest version; return the identity of the log.

    Many processes may do so at once: one of them applies a step, the others wait for it. Raises
    :class:`StoreTooNew` and :class:`StoreTooOld` for tables that this Busway does not know, and
    :class:`StoreError` when the server cannot be used now; the tables are then of a whole version.
    """
    connector, steps = Connector(PostgresAddress.parse(url)), steps or migrations()
    label, newest = connector.address.label, str(max(steps))
    with translating_errors(label):
        async with watched_session(connector, schema) as session:
            while (meta := await _meta(session, schema)).get("version") != newest:
                _check_version(meta, steps, label)
                await _apply_next_migration(session, schema, meta, steps)
            return meta.get("identity") or await _assign_identity(session, schema, partitions)


async def is_initialized(url: str, schema: str = SCHEMA) -> bool:
    """Return whether a database has the tables of a log or a ledger; creates nothing.

    Raises what :func:`migrate` raises, and :class:`SettingsError` if a file that the address names
    cannot be read.
    """
    connector = Connector(PostgresAddress.parse(url))
    connector.address.check_files()
    with translating_errors(connector.address.label):
        async with short_session(connector, schema) as session:
            return "identity" in await read_meta(session, schema, connector.address.label)


async def read_meta(session: Session | Connection, schema: str, label: str) -> dict[str, str]:
    """Return version and identity of the tables, empty if there are none.

    Raises :class:`StoreTooNew` and :class:`StoreTooOld` for tables that this Busway does not know.
    """
    meta = await _meta(session, schema)
    _check_version(meta, migrations(), label)
    return meta


async def _meta(session: Session | Connection, schema: str) -> dict[str, str]:
    if not (await fetch(session, "schema/is_initialized", schema))[0][0]:
        return {}
    return {str(name): str(value) for name, value in await fetch(session, "get_meta")}


def _check_version(meta: Mapping[str, str], steps: Migrations, label: str) -> None:
    if "version" not in meta:
        return
    version, oldest, newest = int(meta["version"]), min(steps), max(steps)
    known = str(newest) if oldest == newest else f"{oldest} to {newest}"
    versions = f"{label} has tables of version {version} and this Busway reads version {known}"
    if version > newest:
        raise StoreTooNew(f"{versions}; upgrade Busway")
    if version < oldest:
        raise StoreTooOld(
            f"{versions}; start with a new database, and let the Busway that wrote this one deliver"
            " what is left in it"
        )


async def _apply_next_migration(
    session: Session, schema: str, expected_meta: Mapping[str, str], steps: Migrations
) -> None:
    """Migrate the tables to the version after the expected one, unless another process has."""
    async with _exclusively(session):
        if await _meta(session, schema) != expected_meta:
            return
        current = int(expected_meta.get("version", 0))
        version = min(number for number in steps if number > current)
        if not current and not (await fetch(session, "schema/schema_exists", schema))[0][0]:
            await session.execute(sql("schema/create_schema").format(schema=schema))
        for statement in steps[version]:
            await session.execute(statement)
        await fetch(session, "put_meta", "version", str(version))


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
    """Run a transaction while no other process does; its statements wait at most a minute."""
    async with session.transaction():
        await fetch(session, "schema/advisory_lock", _ADVISORY_LOCK)
        await session.execute(sql("schema/lock_timeout"))
        yield
