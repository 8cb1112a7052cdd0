"""Events over HTTP, durable before 202: single ones, and NDJSON requests of a thousand."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from process import HERE, load, started

from busway.engine.sqlite.database import connect

SECONDS = 4
ROUNDS = 3
BLOBS = 300


def singles(port: int) -> float:
    """Return the single-event requests a second, on 64 connections."""
    return float(load(port, "--mode", "single", "--seconds", SECONDS)["requests_per_s"])


def thousands(port: int) -> float:
    """Return the events a second of 1,000-event NDJSON requests."""
    found = load(port, "--mode", "ndjson", "--seconds", SECONDS, "--connections", 8)
    return float(found["per_s"])


def blob_appends(folder: Path) -> float:
    """Return the events a second of appending blobs of 1,000 events' bytes, one commit each."""
    connection = connect(folder / "floor.db", page_bytes=4096)
    connection.pragma("wal_autocheckpoint", 1000)
    connection.execute("CREATE TABLE blob (id INTEGER PRIMARY KEY, bytes BLOB)")
    body = b"x" * (236 * 1000)
    began = time.perf_counter()
    for _ in range(BLOBS):
        connection.execute("INSERT INTO blob (bytes) VALUES (?)", (body,))
    seconds = time.perf_counter() - began
    connection.close()
    return BLOBS * 1000 / seconds


def run() -> list[dict[str, Any]]:
    """Return the rows of the two intake budgets; floors and measures take turns."""
    best = {"single floor": 0.0, "single": 0.0, "blobs": 0.0, "thousands": 0.0}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            with started([HERE / "server.py"]) as (_, port):
                best["single floor"] = max(best["single floor"], singles(int(port)))
            with started([HERE / "server.py", "--data", f"{folder}/data"]) as (_, port):
                best["single"] = max(best["single"], singles(int(port)))
                best["thousands"] = max(best["thousands"], thousands(int(port)))
            best["blobs"] = max(best["blobs"], blob_appends(Path(folder)))
    return [
        _row("one event a request, durable, 64 connections (requests/s)", best, "single", 0.6),
        _row("1,000-event NDJSON requests, durable (events/s)", best, "thousands", 0.4),
    ]


def _row(what: str, best: dict[str, float], measured: str, target: float) -> dict[str, Any]:
    floor = best["single floor" if measured == "single" else "blobs"]
    return {
        "what": what,
        "floor": floor,
        "measured": best[measured],
        "ratio": best[measured] / floor,
        "target": target,
    }


if __name__ == "__main__":
    for row in run():
        print(row)
