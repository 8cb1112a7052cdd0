"""Events over HTTP, durable before 202: single ones, and NDJSON requests of a thousand."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine import ENGINES, Engine, Place, busy_s, chosen
from process import HERE, bodies, load, port_of, started, without_settings

SECONDS = 4
ROUNDS = 3
BLOBS = 300
CLUSTER_BLOBS = 60
PARTITIONS = (1, 2, 4, 8)
USUAL = 4
CLUSTER_SECONDS = 3
CLUSTER_ROUNDS = 2
CONNECTIONS = 16
Running = tuple[int, int]
"""An intake's process and its port."""


def singles(port: int, seconds: int = SECONDS) -> float:
    """Return the single-event requests a second, on 64 connections."""
    return float(load(port, "--mode", "single", "--seconds", seconds)["requests_per_s"])


def thousands(port: int) -> float:
    """Return the events a second of 1,000-event NDJSON requests."""
    found = load(port, "--mode", "ndjson", "--seconds", SECONDS, "--connections", 8)
    return float(found["per_s"])


def blob_appends(engine: Engine, count: int = BLOBS) -> float:
    """Return the events a second of storing the bytes of 1,000 events, one commit each."""
    made = bodies(count)
    began = time.perf_counter()
    asyncio.run(engine.bare(made))
    return count * 1000 / (time.perf_counter() - began)


def run(engine: Engine) -> list[dict[str, Any]]:
    """Return the rows of the two intake budgets; floors and measures take turns."""
    return _on_cluster(engine) if engine.pids() else _embedded(engine)


def _embedded(engine: Engine) -> list[dict[str, Any]]:
    best = {"single floor": 0.0, "single": 0.0, "blobs": 0.0, "thousands": 0.0}
    for _ in range(ROUNDS):
        data = ("--data", engine.fresh().data)
        with started([HERE / "server.py"]) as (_, port):
            best["single floor"] = max(best["single floor"], singles(int(port)))
        with started([HERE / "server.py", *data]) as (_, port):
            best["single"] = max(best["single"], singles(int(port)))
            best["thousands"] = max(best["thousands"], thousands(int(port)))
        best["blobs"] = max(best["blobs"], blob_appends(engine))
    single, many = (best["single floor"], best["single"]), (best["blobs"], best["thousands"])
    return [
        _row("one event a request, durable, 64 connections (requests/s)", *single, target=0.6),
        _row("1,000-event NDJSON requests, durable (events/s)", *many, target=0.4),
    ]


def _on_cluster(engine: Engine) -> list[dict[str, Any]]:
    """``busway serve`` on servers: floors once a round, then each number of partitions."""
    best: dict[object, Cost] = {}
    floor = single_floor = 0.0
    for _ in range(CLUSTER_ROUNDS):
        with started([HERE / "server.py"]) as (_, port):
            single_floor = max(single_floor, singles(int(port), CLUSTER_SECONDS))
        for partitions in PARTITIONS:
            floor = max(floor, blob_appends(engine, CLUSTER_BLOBS))
            with serving(engine.fresh(), partitions) as intake:
                _keep(best, partitions, _cost(engine, "ndjson", intake))
                if partitions == USUAL:
                    _keep(best, "single", _cost(engine, "single", intake))
        with serving(place := engine.fresh(), USUAL) as one, serving(place, USUAL) as other:
            _keep(best, "two", _cost(engine, "ndjson", one, other))
    what = "one event a request, durable, 64 connections (requests/s)"
    two = f"1,000-event NDJSON requests to two intakes, durable, {USUAL} partitions (events/s)"
    return [
        _row(what, single_floor, best["single"].per_s) | best["single"].row(),
        *_by_partitions(engine, floor, best),
        _row(two, floor, best["two"].per_s) | best["two"].row(),
    ]


def _by_partitions(engine: Engine, floor: float, best: dict[object, Cost]) -> list[dict[str, Any]]:
    return [
        _row(
            f"1,000-event NDJSON requests, durable, {partitions} partition{'s' * (partitions > 1)}"
            " (events/s)",
            floor,
            best[partitions].per_s,
            least=engine.least if partitions == USUAL else 0,
        )
        | best[partitions].row()
        for partitions in PARTITIONS
    ]


class Cost:
    """What a load came to, and the processor time of each side for an event, in µs."""

    def __init__(self, found: list[dict[str, Any]], spent: list[float]) -> None:
        self.per_s = sum(float(one["per_s"]) for one in found)
        events = sum(one["events"] for one in found)
        self._spent = [seconds * 1e6 / events for seconds in spent]

    def row(self) -> dict[str, Any]:
        return {"cost": dict(zip(("busway", "servers", "load"), self._spent, strict=True))}


def _cost(engine: Engine, mode: str, *intakes: Running) -> Cost:
    """Load intakes at the same time, which share the connections."""

    def now() -> list[float]:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        mine = ended.ru_utime + ended.ru_stime
        return [busy_s([pid for pid, _ in intakes]), busy_s(engine.pids()), mine]

    def loaded(seconds: int) -> list[dict[str, Any]]:
        return list(pool.map(lambda one: load(one[1], *options, "--seconds", seconds), intakes))

    connections = (CONNECTIONS if mode == "ndjson" else 64) // len(intakes)
    options = ("--mode", mode, "--connections", connections)
    with ThreadPoolExecutor(len(intakes)) as pool:
        loaded(1)
        before = now()
        found = loaded(CLUSTER_SECONDS)
        return Cost(found, [b - a for a, b in zip(before, now(), strict=True)])


def _keep(best: dict[object, Cost], key: object, cost: Cost) -> None:
    if key not in best or best[key].per_s < cost.per_s:
        best[key] = cost


@contextlib.contextmanager
def serving(place: Place, partitions: int, *options: object) -> Iterator[Running]:
    """Run ``busway serve``; yields its process and its port."""
    flows = HERE / "flows_postgres.py"
    command = ["-m", "busway", "serve", flows, "--port", 0, *place.options, *options]
    more = {"BUSWAY_PARTITIONS": str(partitions), "BUSWAY_LOG_LEVEL": "warning"}
    with without_settings(**more), started(command) as (process, line):
        yield process.pid, port_of(line)


def _row(
    what: str, floor: float, measured: float, *, target: float | None = None, least: int = 0
) -> dict[str, Any]:
    ratio = measured / floor
    return {
        "what": what,
        "floor": floor,
        "measured": measured,
        "ratio": ratio,
        "target": target,
        "least": least,
    }


if __name__ == "__main__":
    with ENGINES[chosen()]() as chosen_engine:
        for row in run(chosen_engine):
            print(row)
