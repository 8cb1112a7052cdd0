"""A worker that stands still in the middle of a transaction keeps nobody else from going on."""

from __future__ import annotations

import asyncio

import pytest

from busway.engine.postgres.database import STATEMENT_TIMEOUT_S, Database, fetch
from busway.engine.postgres.schema import SCHEMA
from busway.engine.registry import open_stores
from busway.lane import LeaseRequest
from busway.settings import load_settings

PATIENCE_S = STATEMENT_TIMEOUT_S / 2
"""Where nothing else ends the transaction, the one who stands still does that here, later."""


@pytest.mark.parametrize("prepares", [False, True], ids=["between", "in-a-statement"])
async def test_who_stands_still_in_a_transaction_loses_it(engine: str, prepares: bool) -> None:
    stores = await open_stores(load_settings({"BUSWAY_ENGINE": engine}))
    stuck = await Database.open(engine, SCHEMA)
    lane = await stores.ledger.open_lane("orders", 0, 0)
    frozen, lasts = asyncio.Event(), asyncio.Event()

    async def stand_still() -> None:
        async with stuck.transaction() as connection:
            await fetch(connection, "ledger/lock_lanes", ["orders"], [0])
            if prepares:  # the server does not count that as idle
                await connection.prepare("SELECT $1::integer + 1")
            frozen.set()
            await lasts.wait()

    standing = asyncio.create_task(stand_still())
    await frozen.wait()
    try:
        async with asyncio.timeout(PATIENCE_S):
            (epoch,) = await stores.ledger.lease(
                [LeaseRequest("orders", 0, lane.fencing_token, "other")]
            )
        assert epoch == lane.fencing_token + 1
    finally:
        lasts.set()
        ended = await asyncio.gather(standing, return_exceptions=True)
        await stuck.close()
        await stores.close()
    assert isinstance(ended[0], Exception), "its transaction is not committed"
