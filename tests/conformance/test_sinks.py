"""Every sink keeps what the suites ask for, on a real destination."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import asyncpg
import pytest

from busway.errors import StoreFull
from busway.ports import Sink
from busway.sinks import bus, chat, console, http, jsonl, postgres, smtp, sqlite
from busway.testing import ExactlyOnceSinkSuite, OutageSinkSuite, RecordingBus, SinkSuite
from http_target import HttpTarget, http_target
from postgres_server import PostgresServer
from smtp_target import SmtpTarget, smtp_target

TOKEN = "Bearer 9f8a7b6c5d4e3f2a"


class FolderOutage:
    """A file's folder is moved away, with a file in its place."""

    async def take_away(self, place: Path) -> None:
        folder = place / "shop"
        if folder.exists():
            folder.rename(place / "away")
        folder.write_text("a file where a folder should be")

    async def bring_back(self, place: Path) -> None:
        (place / "shop").unlink()
        if (place / "away").exists():
            (place / "away").rename(place / "shop")
        else:
            (place / "shop").mkdir()


class TestSqliteSink(FolderOutage, ExactlyOnceSinkSuite, OutageSinkSuite):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        (tmp_path / "shop").mkdir()

    def declare(self, place: Path) -> Sink:
        return sqlite(str(place / "shop" / "orders.db"), table="orders", create=True)

    def never_valid(self) -> Sequence[Sink]:
        return [sqlite("", "orders"), sqlite(":memory:", "orders"), sqlite("shop.db", "")]

    async def numbers(self, place: Path) -> Sequence[int]:
        file = place / "shop" / "orders.db"
        if not file.exists():
            return []
        with closing(apsw.Connection(str(file))) as database:
            if not database.table_exists("main", "orders"):
                return []
            return [number for (number,) in database.execute("SELECT number FROM orders")]


class TestJsonlSink(FolderOutage, ExactlyOnceSinkSuite, OutageSinkSuite):
    def declare(self, place: Path) -> Sink:
        return jsonl(str(place / "shop" / "orders.jsonl"))

    def never_valid(self) -> Sequence[Sink]:
        return [jsonl(""), jsonl("out/")]

    async def numbers(self, place: Path) -> Sequence[int]:
        lines = (place / "shop" / "orders.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line)["number"] for line in lines]


class TestPostgresSink(ExactlyOnceSinkSuite, OutageSinkSuite):
    @pytest.fixture(autouse=True)
    async def database(self, postgres: PostgresServer) -> None:
        self.server = postgres
        self.dsn = await postgres.fresh_database()

    def declare(self, place: Path) -> Sink:
        return postgres(self.dsn, table="orders", create=True)

    def never_valid(self) -> Sequence[Sink]:
        return [postgres("mysql://x/y", "orders"), postgres(self.dsn, "")]

    async def take_away(self, place: Path) -> None:
        await self._allow_connections(False)

    async def bring_back(self, place: Path) -> None:
        await self._allow_connections(True)

    async def _allow_connections(self, allowed: bool) -> None:
        name = self.dsn.rpartition("/")[2]
        connection = await asyncpg.connect(self.server.dsn)
        try:
            await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            )
        finally:
            await connection.close()

    async def numbers(self, place: Path) -> Sequence[int]:
        connection = await asyncpg.connect(self.dsn)
        try:
            if await connection.fetchval("SELECT to_regclass('orders')") is None:
                return []
            return [row["number"] for row in await connection.fetch("SELECT number FROM orders")]
        finally:
            await connection.close()


class HttpOutage:
    """The server goes away, and comes back on the same port."""

    target: HttpTarget

    @pytest.fixture(autouse=True)
    async def running(self) -> AsyncIterator[None]:
        async with http_target() as self.target:
            yield

    async def take_away(self, place: Path) -> None:
        await self.target.stop()

    async def bring_back(self, place: Path) -> None:
        await self.target.start()


class TestHttpSink(HttpOutage, OutageSinkSuite):
    secrets = (TOKEN, "hunter2222")

    def declare(self, place: Path) -> Sink:
        return http(f"{self.target.url}?key=hunter2222", headers={"Authorization": TOKEN})

    def never_valid(self) -> Sequence[Sink]:
        return [http("not a URL"), http("http://x/", concurrency=0)]

    async def numbers(self, place: Path) -> Sequence[int]:
        return [json.loads(call.body)["number"] for call in self.target.taken]


class TestHttpSinkInBatches(TestHttpSink):
    def declare(self, place: Path) -> Sink:
        return http(self.target.url, batch=10)

    async def numbers(self, place: Path) -> Sequence[int]:
        bodies = [json.loads(call.body) for call in self.target.taken]
        return [result["number"] for body in bodies for result in body]


class TestChatSink(HttpOutage, OutageSinkSuite):
    @property
    def url(self) -> str:
        return f"{self.target.url}/T0/B0/s3cr3ts3cr3t"

    secrets = ("s3cr3ts3cr3t",)

    def declare(self, place: Path) -> Sink:
        return chat(self.url, "{data[number]}")

    def never_valid(self) -> Sequence[Sink]:
        return [chat("not a URL", "x"), chat(self.url, "{data[")]

    async def numbers(self, place: Path) -> Sequence[int]:
        return [int(json.loads(call.body)["text"]) for call in self.target.taken]


class TestSmtpSink(OutageSinkSuite):
    secrets = ("correct horse",)

    @pytest.fixture(autouse=True)
    async def running(self, tmp_path: Path) -> AsyncIterator[None]:
        self.target: SmtpTarget
        async with smtp_target(tmp_path) as (self.target, _):
            yield

    def declare(self, place: Path) -> Sink:
        return smtp(
            "localhost",
            sender="busway@shop.example",
            to="ops@shop.example",
            subject="{data[number]}",
            port=self.target.port,
            tls="none",
        )

    def never_valid(self) -> Sequence[Sink]:
        return [smtp("", sender="a@x.example", to="b@x.example"), smtp("x", sender="", to="b")]

    async def take_away(self, place: Path) -> None:
        await self.target.stop()

    async def bring_back(self, place: Path) -> None:
        await self.target.start()

    async def numbers(self, place: Path) -> Sequence[int]:
        return [int(mail.message["Subject"]) for mail in self.target.mails]


class TestBusSink(OutageSinkSuite):
    @pytest.fixture(autouse=True)
    def recording(self) -> None:
        self.bus = RecordingBus()

    ping_notices_outage = False

    def context(self) -> RecordingBus:
        return self.bus

    def declare(self, place: Path) -> Sink:
        return bus(type="order.checked")

    def never_valid(self) -> Sequence[Sink]:
        return [bus(type="busway.x"), bus(source="x" * 5_000)]

    async def take_away(self, place: Path) -> None:
        self.bus.error = StoreFull("the disk is full")

    async def bring_back(self, place: Path) -> None:
        self.bus.error = None

    async def numbers(self, place: Path) -> Sequence[int]:
        return [event.data["number"] for event in self.bus.events]


class TestConsoleSink(SinkSuite):
    @pytest.fixture(autouse=True)
    def captured(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.lines: list[str] = []
        self.output = capsys

    def declare(self, place: Path) -> Sink:
        return console()

    async def numbers(self, place: Path) -> Sequence[int]:
        self.lines += self.output.readouterr().out.splitlines()
        return [json.loads(line.split("  ")[2])["number"] for line in self.lines]
