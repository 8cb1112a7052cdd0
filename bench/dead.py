"""A million dead letters: listing, grouping and redriving them, and live delivery beside them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import structlog
from process import HERE, TOKEN, load, started

from busway.control.context import ControlContext
from busway.control.dead_letter.dead_letter import root_causes
from busway.control.dead_letter.job import DeadLetterJobSpec, begin_dead_letter_job
from busway.control.dead_letter.selection import (
    DeadLetterSelection,
    select_dead_letters,
)
from busway.control.job import job
from busway.delivery.fingerprint import fingerprint
from busway.engine.registry import open_stores
from busway.engine.sqlite.database import connect
from busway.failed_event import FailedEvent, FailedEventState, Failure
from busway.lane import Counts
from busway.ports import Ledger, NewBatch, Stores
from busway.runtime.dead_letter_job import DeadLetterJobRunner
from busway.runtime.loop import Loop
from busway.runtime.process.interpreter import tune_interpreter
from busway.settings import Settings
from busway.settlement import Settlement

LETTERS = int(os.environ.get("BUSWAY_BENCH_LETTERS", "1000000"))
PARTITIONS = 4
BATCH = 5_000
PARKED_EVERY = 10
"""One trouble in so many is a parked event; the others are dead letters."""
PAGE = 500
REQUESTS = 100
WINDOWS = int(os.environ.get("BUSWAY_BENCH_WINDOWS", "9"))
WINDOW_S = 2
ROUNDS = 3
AT = datetime(2026, 1, 1, tzinfo=UTC)
FLOW = "letters"
BARE = """UPDATE failed_event SET state = ?, attempts = ?, due = ?
WHERE flow = ? AND partition = ? AND "offset" = ?"""
RATE = os.environ.get("BUSWAY_BENCH_REDRIVE_RATE", "1000/s")
OPERATORS: dict[str, dict[str, bool]] = {
    "": {},
    ", listed and grouped": {"looks": True},
    ", listed, grouped and redriven": {"looks": True, "redrives": True},
}
"""What is done with the letters beside live delivery, by what a row says of it."""
_TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/flows.py", line 12, in letters
    return {"id": event.data["id"], "share": event.data["total"] / event.data["parts"]}
                                             ~~~~~~~~~~~~~~~~~~~~^~~~~~~~~~~~~~~~~~~~~
"""
_ERRORS = ("ZeroDivisionError", "KeyError", "ValueError", "TypeError")
_CAUSES = [
    (
        failure := Failure(1, AT, "step", error, error, f"{_TRACEBACK}{error}\n", "v1", 1.0),
        fingerprint(failure),
    )
    for error in _ERRORS
]


def raw(number: int) -> bytes:
    """Return the bytes of a failed event, about 230 of them."""
    return (
        b'{"specversion":"1.0","id":"failed-%012d","source":"/shop/eu-central","type":"failed",'
        b'"subject":"order/%08d","data":{"id":%d,"customer":{"id":"c-%d","country":"DE"},'
        b'"total":%d,"items":[{"sku":"A-1","n":2}]}}'
    ) % (number, number, number, number % 9973, 101 + number % 1000)


def trouble(partition: int, offset: int) -> FailedEvent:
    """Return a dead letter, or a parked event that is not due for long."""
    number = offset * PARTITIONS + partition
    failure, cause = _CAUSES[number % 7 % len(_CAUSES)]
    state: FailedEventState = "parked" if offset % PARKED_EVERY == 0 else "dead"
    return FailedEvent(
        FLOW,
        partition,
        offset,
        raw(number),
        f"failed-{number:012d}",
        state,
        AT + timedelta(milliseconds=number),
        1,
        datetime(2100, 1, 1, tzinfo=UTC) if state == "parked" else None,
        None,
        (failure,),
        f"order/{number:08d}",
        failure.error,
        cause,
    )


async def fill(data: Path) -> None:
    """Make a data directory whose log is all troubles."""
    stores = await open_stores(Settings(data=data, partitions=PARTITIONS))
    for partition in range(PARTITIONS):
        await stores.ledger.open_lane(FLOW, partition, 0)
        for start in range(0, LETTERS // PARTITIONS, BATCH):
            await _settle(stores, partition, range(start, start + BATCH))
        await stores.ledger.maintain()  # type: ignore[attr-defined]
        await stores.log.maintain()  # type: ignore[attr-defined]
    await stores.close()


async def _settle(stores: Stores, partition: int, offsets: range) -> None:
    made = tuple(trouble(partition, offset) for offset in offsets)
    await stores.log.append([NewBatch(partition, [one.event for one in made])], datetime.now(UTC))
    parked = sum(one.state == "parked" for one in made)
    counts = Counts(parked=parked, dead=len(made) - parked)
    place = (FLOW, partition, offsets.start, offsets.stop)
    assert all(await stores.ledger.settle([Settlement(*place, AT, "v1", counts, made)]))


async def _ms(work: Callable[[], Awaitable[Any]]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        best = min(best, time.perf_counter() - began)
    return best * 1000


async def looked(ledger: Ledger) -> tuple[float, float]:
    """Return the ms of a first page, and of grouping all by root cause."""
    page = await _ms(lambda: select_dead_letters(ledger, DeadLetterSelection(), limit=100))
    return page, await _ms(lambda: root_causes(ledger, DeadLetterSelection()))


async def redriven(stores: Stores) -> tuple[float, float]:
    """Return the letters a second of a redrive at full speed, and the loop's longest stop in ms."""
    control = ControlContext(log=stores.log, ledger=stores.ledger)
    begun = await begin_dead_letter_job(
        control, "redrive", DeadLetterJobSpec(selection=DeadLetterSelection()), "bench"
    )
    loop = Loop("redrive", DeadLetterJobRunner(control).turn)
    lags: list[float] = []
    watching = asyncio.create_task(_watch(lags))
    began = time.perf_counter()
    loop.start()
    while (found := await job(stores.ledger, begun.id)).state == "running":
        await asyncio.sleep(0.1)
        await stores.ledger.maintain()  # type: ignore[attr-defined]
    seconds = time.perf_counter() - began
    loop.stop()
    await loop.join(5.0)
    watching.cancel()
    return found.done / seconds, max(lags) * 1000


async def _watch(stops: list[float]) -> None:
    """Note how much processor time the loop's thread took between two looks: on a busy machine
    the time of day would tell how long others had it."""
    while True:
        began = time.thread_time()
        await asyncio.sleep(0.001)
        stops.append(time.thread_time() - began)


def bare(data: Path) -> float:
    """Return the letters a second of the least there is to do: an UPDATE each, a commit a page."""
    connection = connect(data / "ledger.db")
    connection.pragma("wal_autocheckpoint", 1000)
    wanted = (
        "SELECT flow, partition, \"offset\" FROM failed_event WHERE state = 'dead' LIMIT 100000"
    )
    places = connection.execute(wanted).fetchall()
    began = time.perf_counter()
    for first in range(0, len(places), PAGE):
        with connection:
            rows = [("parked", 0, 0, *place) for place in places[first : first + PAGE]]
            connection.executemany(BARE, rows)
    seconds = time.perf_counter() - began
    connection.close()
    return len(places) / seconds


@contextlib.contextmanager
def serving(data: Path, folder: Path) -> Iterator[int]:
    """Run Busway on a data directory."""
    os.environ["BENCH_SQLITE"] = str(folder / f"{data.name}.db")
    command = ["-m", "busway", "run", HERE / "flows_dead.py", "--port", 0, "--data", data]
    with started([*command]) as (_, line):
        yield int(line.partition("http://")[2].partition(" ")[0].rpartition(":")[2])


class Side:
    """A server under load, with an operator at work while it is measured: ``looks`` lists and
    groups, ``redrives`` redrives."""

    def __init__(self, port: int, *, looks: bool = False, redrives: bool = False) -> None:
        self.port = port
        self.looks = looks
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1",
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=60,
        )
        self.job = ""
        if redrives:
            body = {"selection": {"flow": FLOW}, "rate": RATE}
            answer = self.client.post("/dead/redrive", json=body).raise_for_status()
            self.job = answer.json()["job"]["id"]
            self._set("stop")

    def single(self) -> float:
        """Return the requests a second of single events."""
        with self._operated():
            options = ("--mode", "single", "--seconds", WINDOW_S)
            return float(load(self.port, *options)["requests_per_s"])

    def thousands(self) -> float:
        """Return the rows a second of NDJSON requests, from the first request to the last row."""
        _landed(self.client, None)
        before = _delivered(self.client)
        with self._operated():
            began = time.perf_counter()
            options = ("--mode", "ndjson", "--requests", REQUESTS, "--connections", 4)
            load(self.port, *options, "--seconds", 300)
            _landed(self.client, before + REQUESTS * 1000)
            return REQUESTS * 1000 / (time.perf_counter() - began)

    @contextlib.contextmanager
    def _operated(self) -> Iterator[None]:
        """List, group and redrive while the block runs, as far as this side does."""
        if self.job:
            self._set("resume")
        done = Event()
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(self._look, done)
            try:
                yield
            finally:
                done.set()
                looking.result()
        if self.job:
            self._set("stop")

    def _look(self, done: Event) -> None:
        while self.looks and not done.wait(1.0):
            self.client.get("/dead", params={"limit": 100}).raise_for_status()
            self.client.get("/dead/groups").raise_for_status()

    def _set(self, what: str) -> None:
        self.client.post(f"/jobs/{self.job}/{what}", json={}).raise_for_status()


def beside(folder: Path) -> list[list[tuple[float, float]]]:
    """Return for single events and for NDJSON, and for each of :data:`OPERATORS`: without letters
    and with them and that operator, what each window did.

    All servers run, and are loaded in turn for some seconds each: what else the machine does
    changes more slowly than that, so it is the same for all.
    """
    with contextlib.ExitStack() as stack:
        sides = [Side(stack.enter_context(serving(folder / "without", folder)))]
        for number, operator in enumerate(OPERATORS.values()):
            shutil.copytree(folder / "filled", folder / f"with-{number}")
            port = stack.enter_context(serving(folder / f"with-{number}", folder))
            sides.append(Side(port, **operator))
        found = []
        for measure in (Side.single, Side.thousands):
            for side in sides:
                measure(side)
            rounds = [[measure(side) for side in sides] for _ in range(WINDOWS)]
            found.append([_middle(pairs) for pairs in _pairs(rounds)])
        return found


def _pairs(rounds: list[list[float]]) -> list[list[tuple[float, float]]]:
    """Return for each side but the first its pairs with that of the same round."""
    return [[(one[0], one[side]) for one in rounds] for side in range(1, len(rounds[0]))]


def _middle(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the pair in the middle, by what of the one the other is."""
    return sorted(pairs, key=lambda pair: pair[1] / pair[0])[len(pairs) // 2]


def _orders(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/flows/orders").raise_for_status().json()["status"]
    return found


def _delivered(client: httpx.Client) -> int:
    return int(_orders(client)["delivered"])


def _landed(client: httpx.Client, count: int | None) -> None:
    """Return when so many orders are delivered, or when none waits."""
    while True:
        found = _orders(client)
        if found["delivered"] == count or (count is None and not found["backlog"]):
            return
        time.sleep(0.02)


async def _alone(data: Path) -> tuple[float, float, float, float]:
    stores = await open_stores(Settings(data=data))
    try:
        return (*await looked(stores.ledger), *await redriven(stores))
    finally:
        await stores.close()


def run() -> list[dict[str, Any]]:
    """Return the rows of this budget."""
    tune_interpreter()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(fill(folder / "filled"))
        shutil.copytree(folder / "filled", folder / "bare")
        floor = bare(folder / "bare")
        shutil.rmtree(folder / "bare")
        shutil.copytree(folder / "filled", folder / "alone")
        page, group, per_s, stop = asyncio.run(_alone(folder / "alone"))
        shutil.rmtree(folder / "alone")
        live = beside(folder)
    return [
        _limit(f"{LETTERS:,} troubled events: first page of dead letters (ms)", page, 50),
        _limit(f"{LETTERS:,} troubled events: by root cause (ms)", group, 1_000),
        _ratio("redrive, letters/s, a commit every 500", floor, per_s, 0.5),
        _limit("redrive at full speed: the loop's longest stop (ms)", stop, 20),
        *_rows(live),
    ]


def _rows(live: list[list[tuple[float, float]]]) -> list[dict[str, Any]]:
    names = ("one event a request, durable (requests/s)", "NDJSON to SQLite rows (rows/s)")
    return [
        _ratio(f"{name}, beside {LETTERS:,}{operator}", without, with_, 0.9)
        for name, found in zip(names, live, strict=True)
        for operator, (without, with_) in zip(OPERATORS, found, strict=True)
    ]


def _ratio(what: str, floor: float, measured: float, target: float) -> dict[str, Any]:
    ratio = measured / floor
    return {"what": what, "floor": floor, "measured": measured, "ratio": ratio, "target": target}


def _limit(what: str, measured: float, limit: float) -> dict[str, Any]:
    return {"what": what, "floor": None, "measured": measured, "ratio": None, "limit": limit}


if __name__ == "__main__":
    for row in run():
        print(row)
