"""Deliver to an API that answers 503, 429 or nothing to a share of requests.

``python bench/flaky.py`` measures every case and writes ``docs/benchmarks-flaky.md``;
``python bench/flaky.py --quick`` measures a few and prints them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import aiohttp
import msgspec
import structlog

from busway import App
from busway.app import Node
from busway.control.flow.status import flow_statuses
from busway.engine.registry import open_stores
from busway.flow import compile_app
from busway.settings import Settings
from busway.sinks import http
from busway.telemetry import configure_log

DOC = Path(__file__).parent.parent / "docs" / "benchmarks-flaky.md"
EVENTS = 400
SECONDS = 30.0
SIDE_BY_SIDE = 12
SEED = 20_26
ATTEMPTS = 10
Kind = Literal["503", "429", "no answer", "half 503, and 429"]
HEAD = """# Benchmarks: flaky APIs

400 events are posted at once to a flow whose API gives the response in the first column to a share
of the requests: `503`, `429` with `Retry-After: 1`, or nothing until the sink's time-out of 500 ms.
A random generator with a fixed seed selects the requests. The table shows the state after 30
seconds, with 4 partitions, one process and defaults otherwise. *Possible* is the maximum that the
share of good responses allows: all events, or, with a rate r and a share of failures p, at most r ·
(1 - p) · 30. The machine has two cores and did other work at the same time: if even 0 % does not
reach 20/s, compare the delivered events with the requests. Written by `bench/flaky.py`.

"""


class Case(msgspec.Struct, frozen=True):
    """One line of the table."""

    kind: Kind
    share: float
    rate: str | None = None
    concurrency: int = 16
    breaker: Any = None
    events: int = EVENTS
    seconds: float = SECONDS

    @property
    def possible(self) -> int:
        """How many events can be delivered in the time at the rate."""
        bad = self.share + 0.1 if self.kind == "half 503, and 429" else self.share
        if bad >= 1:
            return 0
        per_s = float(self.rate.removesuffix("/s")) if self.rate else float("inf")
        return int(min(self.events, per_s * (1 - bad) * self.seconds))


class Api:
    """A server that answers requests by chance."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._chance = random.Random(SEED)
        self.at: list[float] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                self.at.append(time.monotonic())
                answer = self._answer()
                if not answer:
                    await reader.read()
                    break
                writer.write(answer)
        writer.close()

    def _answer(self) -> bytes:
        drawn, share = self._chance.random(), self._case.share
        kind = self._case.kind
        if kind == "half 503, and 429":
            kind = "503" if drawn < share else "429"
            share += 0.1
        if drawn >= share:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        if kind == "503":
            return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        if kind == "429":
            return b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
        return b""

    @property
    def largest_rate(self) -> int:
        """The most requests in any second."""
        most = first = 0
        for last, at in enumerate(self.at):
            while at - self.at[first] >= 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most


_downs: Counter[str] = Counter()


def _counting(_: Any, __: str, event: Any) -> Any:
    if event.get("event") == "destination is down":
        _downs[event["destination"]] += 1
    raise structlog.DropEvent


@contextlib.asynccontextmanager
async def _node(app: App, data: Path) -> AsyncIterator[tuple[Node, Any]]:
    settings = Settings(data=data, partitions=4, port=0, drain_s=1.0)
    stores = await open_stores(settings)
    node = Node(compile_app(app), settings, stores)
    try:
        await node.start()
        yield node, stores
    finally:
        await node.stop()


async def measure(case: Case, data: Path) -> dict[str, Any]:
    """Deliver to an API as the case says, and return what came of it."""
    api = Api(case)
    server = await asyncio.start_server(api.handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/orders"
    app = App("bench")
    to = http(url, concurrency=case.concurrency, timeout="500ms")
    app.flow("f", to=to, rate=case.rate, breaker=case.breaker)
    async with _node(app, data) as (node, stores):
        await _post(f"http://127.0.0.1:{node.port}/events", case.events)
        began = time.monotonic()
        while True:
            (status,) = await flow_statuses(stores.log, stores.ledger)
            took_s = time.monotonic() - began
            if status.delivered + status.dead >= case.events or took_s >= case.seconds:
                break
            await asyncio.sleep(0.1)
    server.close()
    return {
        "delivered": status.delivered,
        "dead": status.dead,
        "parked": status.parked,
        "requests": len(api.at),
        "largest": api.largest_rate,
        "down": _downs[to.name],
        "seconds": took_s,
    }


async def _post(url: str, count: int) -> None:
    events = [
        {"specversion": "1.0", "id": f"e{n}", "source": "/bench", "type": "t", "data": {"n": n}}
        | {"partitionkey": f"k{n}"}
        for n in range(count)
    ]
    body = b"\n".join(msgspec.json.encode(one) for one in events)
    headers = {"Content-Type": "application/x-ndjson"}
    async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as a:
        assert a.status == 202, await a.text()


def cases() -> Iterable[Case]:
    """Return every line of the table."""
    for kind in ("503", "429", "no answer"):
        for share in (0.0, 0.05, 0.25, 0.5, 0.75, 1.0):
            for rate, concurrency in ((None, 1), (None, 16), ("20/s", 1), ("20/s", 16)):
                if share or kind == "503":
                    yield Case(kind, share, rate, concurrency)
    for breaker in (None, False):
        for rate in (None, "20/s"):
            yield Case("half 503, and 429", 0.5, rate, breaker=breaker)


def quick() -> Iterable[Case]:
    """Return a few lines, with fewer events."""
    for kind in ("503", "429", "no answer"):
        for share in (0.05, 0.5, 0.75, 1.0):
            for rate, concurrency in ((None, 1), (None, 16), ("20/s", 16)):
                yield Case(kind, share, rate, concurrency, events=400, seconds=20.0)
    for breaker in (None, False):
        yield Case("half 503, and 429", 0.5, None, 16, breaker, 400, 30.0)


async def measured(chosen: Sequence[Case]) -> list[dict[str, Any]]:
    """Measure all cases, some at a time."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(case: Case) -> dict[str, Any]:
        async with slots:
            with tempfile.TemporaryDirectory() as data:
                return await measure(case, Path(data))

    return list(await asyncio.gather(*map(one, chosen)))


def table(chosen: Sequence[Case], rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    heads = ("answers", "share", "rate", "concurrency", "delivered", "possible", "parked", "dead")
    heads += ("requests", "largest rate", "times down", "seconds")
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for case, row in zip(chosen, rows, strict=True):
        kind = case.kind + (", `breaker=False`" if case.breaker is False else "")
        cells: list[object] = [kind, f"{case.share:.0%}", case.rate or "-", case.concurrency]
        cells += [f"{row['delivered']:,}", f"{case.possible:,}", row["parked"], row["dead"]]
        cells += [f"{row['requests']:,}", f"{row['largest']:,}", row["down"]]
        cells.append(f"{row['seconds']:.0f}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and print or write the table."""
    configure_log("console")
    structlog.configure(processors=[_counting])
    few = "--quick" in sys.argv
    chosen = list(quick() if few else cases())
    found = table(chosen, asyncio.run(measured(chosen)))
    print(found)
    if not few:
        DOC.write_text(HEAD + found)


if __name__ == "__main__":
    main()
