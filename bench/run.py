"""Measure the budget, each row beside its floor; write ``docs/benchmarks.md``: ``make bench``."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import dead
import deliver
import intake
import many_flows
import ordered
import pipeline
import rules
import sinks
from rich.console import Console
from rich.table import Table

HEAD = ("what", "floor", "measured", "ratio", "at least", "")
DOC = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INTRO = """# Benchmarks

`make bench` measures each row beside its floor, in the same run on the same machine, so that the
ratio holds on a machine that is busy or slow; the absolute figures do not. A floor is the least
that any implementation has to do: the same server without storing, the same bytes into SQLite,
the same rows into PostgreSQL by the bare driver, `msgspec` decoding the same events.

The clients, Busway and PostgreSQL share the machine's cores.
"""
OUTRO = """
## What is measured

* **One event a request**: 64 keep-alive connections, one structured-mode CloudEvent of about 230
  bytes a request, each durable (fsync) before its 202. The floor is the same intake with a bus
  that keeps nothing. `bench/intake.py`
* **NDJSON**: the floor is 236 KB blobs into a SQLite table with the log's own settings, one commit
  each, checkpoints included. `bench/intake.py`
* **Read, match, step, encode**: 5,000 orders from the in-memory log through the rule index, the
  step's thread and a JSON encoder; the floor is a bare loop of decode, `if`, function, encode.
  `bench/deliver.py`
* **PostgreSQL**: 300 requests of 1,000 events, from the first request to the last row; the floor is
  `asyncpg` COPY into a staging table and an upsert, 5,000 rows a transaction. `bench/pipeline.py`
* **Post to row visible**: from before the request is sent to PostgreSQL's own commit timestamp.
* **Memory**: the resident size of the process; the backlog is made by stopping PostgreSQL.
* **Rules**: events of about 1 KB, all different, from their bytes. `bench/rules.py`
* **Two hundred flows**: a backlog of 100,000 orders in four partitions, until 200 flows of mixed
  rules have settled all of it: 800 lanes, a step and a destination for each flow. The floor is one
  flow on the same backlog. `bench/many_flows.py`
* **Order**: a backlog of 100,000 orders with 1,000 keys through one flow, until nothing is parked;
  the floor is the same flow without `ordered=True`. Where events fail, those of their key wait
  behind them, each copied to the ledger and taken from there. `bench/ordered.py`
* **Sinks**: one destination by itself, beside its bare driver. `bench/sinks.py`
* **Troubled events**: nine in ten are dead letters, one is parked. Listing and grouping as the API
  does it; redriving by the server's own loop, without a rate, its floor an `UPDATE` each and a
  commit every 500. The loop's longest stop is processor time of its thread between two looks a
  millisecond apart. Intake and delivery are measured on two servers, with them and without, a few
  seconds each in turn, and the pair in the middle is taken; an operator lists and groups them every
  second meanwhile, and redrives them at 1,000 a second into the same database. `bench/dead.py`
"""


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one row."""
    measured, floor = row["measured"], row.get("floor")
    if floor is None:
        met = measured <= row["limit"]
        return (row["what"], "", f"{measured:,.1f}", "", f"under {row['limit']}", _mark(met))
    met = row["ratio"] >= row["target"]
    figures = (f"{floor:,.0f}", f"{measured:,.0f}", f"{row['ratio']:.2f}", f"{row['target']}")
    return (row["what"], *figures, _mark(met))


def _mark(met: bool) -> str:
    return "met" if met else "missed"


def show(rows: list[tuple[str, ...]]) -> None:
    table = Table(*HEAD)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def write(rows: list[tuple[str, ...]]) -> None:
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *rows)]
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    cores = subprocess.run(["nproc"], capture_output=True, text=True, check=False).stdout.strip()
    when = time.strftime("%Y-%m-%d")
    stamp = f"\nMeasured on {when}: {cores} cores, {machine}.\n"
    DOC.write_text("\n".join([INTRO + stamp, *lines, OUTRO]), encoding="utf-8")


def main() -> None:
    rows = []
    for module in (intake, deliver, pipeline, rules, many_flows, ordered, sinks, dead):
        print(f"measuring {module.__name__} …", flush=True)
        rows += [cells(row) for row in module.run()]
    show(rows)
    write(rows)
    for row in rows:
        if row[-1] == "missed":
            print(f"missed: {row[0]}")


if __name__ == "__main__":
    main()
