"""Sinks that keep positions take those of an earlier version forward, on real destinations."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import apsw
import asyncpg
import msgspec
import pytest

from busway.outcome import DELIVERED, NOT_ATTEMPTED
from busway.ports import Destination, Load
from busway.sinks import jsonl, postgres, sqlite
from postgres_server import PostgresServer
from sink_load import KeptEvents, fresh, rows

OLD_SQLITE = """
CREATE TABLE busway_position (log TEXT NOT NULL, flow TEXT NOT NULL, "partition" INTEGER NOT NULL,
start INTEGER NOT NULL, position INTEGER NOT NULL,
PRIMARY KEY (log, flow, "partition")) WITHOUT ROWID;
INSERT INTO busway_position VALUES ('5d1f', 'orders', 0, 0, 2)
"""
OLD_POSTGRES = """
CREATE TABLE busway_position (log text NOT NULL, flow text NOT NULL, "partition" integer NOT NULL,
start bigint NOT NULL, position bigint NOT NULL, writes bigint NOT NULL,
PRIMARY KEY (log, flow, "partition"));
INSERT INTO busway_position VALUES ('5d1f', 'orders', 0, 0, 2, 1)
"""


class Place:
    """A destination of one kind: opened, made by an earlier version, and looked into."""

    def __init__(self, kind: str, server: PostgresServer, folder: Path) -> None:
        self.kind = kind
        self._server = server
        self._file = folder / ("orders.db" if kind == "sqlite" else "orders.jsonl")

    async def open(self) -> Destination:
        if self.kind == "postgres":
            sink = postgres(self._server.dsn, table="orders", create=True)
            return await sink.open(KeptEvents())
        if self.kind == "sqlite":
            return await sqlite(str(self._file), "orders", create=True).open(KeptEvents())
        return await jsonl(str(self._file)).open(KeptEvents())

    async def age(self) -> None:
        """Have positions as they were kept before there were leases."""
        if self.kind == "postgres":
            await self.execute(OLD_POSTGRES)
            return
        path = self._file if self.kind == "sqlite" else Path(f"{self._file}.busway")
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute(OLD_SQLITE)

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.dsn)
        await connection.execute(statement)
        await connection.close()

    async def ids(self) -> list[int]:
        if self.kind == "jsonl":
            return [json.loads(line)["id"] for line in self._file.read_text().splitlines()]
        if self.kind == "sqlite":
            with closing(apsw.Connection(str(self._file))) as file:
                return [one for (one,) in file.execute("SELECT id FROM orders ORDER BY id")]
        connection = await asyncpg.connect(self._server.dsn)
        try:
            return [one["id"] for one in await connection.fetch("SELECT id FROM orders ORDER BY 1")]
        finally:
            await connection.close()


@pytest.fixture(params=["sqlite", "jsonl", "postgres"])
async def place(request: pytest.FixtureRequest, server: PostgresServer, tmp_path: Path) -> Place:
    found = Place(request.param, server, tmp_path)
    await found.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return found


def under(epoch: int, load: Load) -> Load:
    return msgspec.structs.replace(load, fencing_token=epoch)


async def test_positions_of_an_earlier_version_are_taken_forward(place: Place) -> None:
    await place.age()
    destination = await place.open()
    try:
        assert await destination.write(under(2, fresh(rows(0, 4)))) == [DELIVERED] * 4
        assert await destination.write(under(1, fresh(rows(4, 5)))) == [NOT_ATTEMPTED]
    finally:
        await destination.close()
    assert await place.ids() == [2, 3], "the first two had landed"
