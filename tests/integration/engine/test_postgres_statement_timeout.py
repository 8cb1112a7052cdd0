"""Where many statements are late, one look is taken at who stands still, not one for each."""

from __future__ import annotations

import asyncio

from busway.driver.postgres.lock_watchdog import CHECK_INTERVAL_S
from busway.engine.postgres.database import Database
from busway.errors import StoreError
from delivery_node import until
from nats_proxy import Proxy
from postgres_server import postgres_server

STATEMENTS = 4
WITHIN_S = 3.5 * CHECK_INTERVAL_S


class Door(Proxy):
    """A way to the server where it is counted how often somebody came."""

    came = 0

    def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.came += 1
        super()._serve(reader, client)


async def test_an_unresponsive_server_is_not_flooded_with_checks() -> None:
    with postgres_server() as server:
        door = Door(server.port)
        await door.open()
        url = f"postgresql://postgres@127.0.0.1:{door.port}/postgres"
        database = await Database.open(url, "public")
        there = asyncio.Barrier(STATEMENTS + 1)
        silent = asyncio.Event()

        async def ask() -> None:
            async with database.connection(WITHIN_S) as connection:
                await there.wait()
                await silent.wait()
                await connection.fetch("SELECT 1")

        try:
            asking = [asyncio.create_task(ask()) for _ in range(STATEMENTS)]
            await there.wait()
            door.hold()
            came = door.came
            silent.set()
            await until(lambda: door.came > STATEMENTS, "somebody looked")
            ended = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(one, StoreError) for one in ended), ended
            assert door.came <= came + 1, "each of them looked, again and again"
        finally:
            await database.close()
            await door.close()
