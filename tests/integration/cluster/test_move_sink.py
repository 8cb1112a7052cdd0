"""After a move a ``postgres`` destination has each event once, and alerts stand as they did."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from command import Server, busway, running, until
from installation import ask
from postgres_server import PostgresServer

FLOWS = """
from pathlib import Path
from busway import App, Reject, env
from busway.alerts import dead_letters
from busway.sinks import postgres

app = App("shop")

@app.flow(when={"type": ["order"]}, to=postgres(env("TARGET"), "orders"))
def orders(event):
    if event.data["n"] == 0 and not Path("mended").exists():
        raise Reject("bad")
    return {"n": event.data["n"]}

@app.flow(when={"type": [{"prefix": "busway.alert."}]}, to=postgres(env("TARGET"), "told"))
def told(event):
    return {"state": event.data["state"]}

app.alert("orders fail", dead_letters(flow="orders", above=0))
"""
ORDERS = 600


class Shop:
    """A database that is delivered to, which has no constraint that would hide a repetition."""

    def __init__(self, url: str) -> None:
        self.url = url

    def make(self) -> None:
        self._run("CREATE TABLE orders (n bigint); CREATE TABLE told (state text)")

    @property
    def orders(self) -> list[int]:
        return [n for (n,) in self._run("SELECT n FROM orders ORDER BY n")]

    @property
    def told(self) -> list[str]:
        return sorted(state for (state,) in self._run("SELECT state FROM told"))

    def _run(self, statement: str) -> list[Any]:
        async def ran() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                if statement.startswith("SELECT"):
                    return await connection.fetch(statement)
                await connection.execute(statement)
                return []
            finally:
                await connection.close()

        return asyncio.run(ran())


def posted(server: Server, first: int, last: int) -> None:
    orders = [{"id": f"o{n}", "type": "order", "data": {"n": n}} for n in range(first, last)]
    server.post(*orders).raise_for_status()


@contextmanager
def unsettled(path: Path) -> Iterator[None]:
    """Keep a ledger from settling anything, so that what lands is not known there."""
    with closing(sqlite3.connect(path / "ledger.db", timeout=60, isolation_level=None)) as ledger:
        ledger.execute("BEGIN IMMEDIATE")
        yield


def alert(server: Server) -> dict[str, Any]:
    (found,) = ask(server, "GET", "/alerts")["items"]
    return {name: found[name] for name in ("name", "state", "since")}


def test_a_postgres_destination_goes_on_once_and_alerts_stand_as_they_did(
    tmp_path: Path, engine: str, server: PostgresServer
) -> None:
    shop = Shop(asyncio.run(server.fresh_database()))
    shop.make()
    (tmp_path / "shop.py").write_text(FLOWS)
    (tmp_path / ".env").write_text(f"TARGET={shop.url}\n")
    with running("shop.py", cwd=tmp_path) as node:
        posted(node, 0, ORDERS // 2)
        until(lambda: shop.told == ["raised"], "the alert is told")
        until(lambda: len(shop.orders) == ORDERS // 2 - 1, "a half lands")
        before = alert(node)
        with unsettled(tmp_path / ".busway"):
            posted(node, ORDERS // 2, ORDERS)
            until(lambda: len(shop.orders) > ORDERS // 2, "more lands")
            node.stop(signal.SIGKILL)
    moved = busway("move", "--from", ".busway", "--to", engine, cwd=tmp_path)
    assert moved.code == 0, moved
    with running("shop.py", "--engine", engine, cwd=tmp_path) as node:
        assert alert(node) == before
        posted(node, ORDERS - 100, ORDERS + 100)  # a producer that was not sure
        until(lambda: len(shop.orders) >= ORDERS + 99, "the rest lands")
        assert shop.told == ["raised"], "it was told already"
        (tmp_path / "mended").touch()
        ask(node, "POST", "/dead/redrive", {"selection": {"flow": "orders"}})
        until(lambda: len(shop.orders) >= ORDERS + 100, "the redriven one lands")
        until(lambda: len(shop.told) > 1, "the alert is cleared")
    assert shop.told == ["cleared", "raised"]
    assert shop.orders == list(range(ORDERS + 100)), "each once"
