"""Measure an engine, each row beside its floor, and write it down: ``make bench``.

``ENGINE`` is ``sqlite`` (by itself), ``postgres`` or ``jetstream``; each has its page in ``docs``.
"""

from __future__ import annotations

import platform
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import dead
import dead_cluster
import deliver
import intake
import many_flows
import ordered
import pipeline
import rules
import sinks
import startup
from engine import ENGINES, Engine, chosen
from rich.console import Console
from rich.table import Table

HEAD = ("what", "floor", "measured", "ratio", "at least", "")
COST_HEAD = ("what", "Busway", "servers", "load", "together")
HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
_EMBEDDED = (intake, deliver, pipeline, rules, many_flows, ordered, sinks, dead, startup)
_CLUSTER = (intake, pipeline, deliver, many_flows, ordered, dead_cluster)
_WITHOUT_ENGINE = (rules, sinks, dead, startup)


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one row."""
    measured, floor = row["measured"], row.get("floor")
    if floor is None:
        limit = row["limit"]
        asked = ("", "") if limit is None else (f"under {limit}", _mark(measured <= limit))
        return (row["what"], "", f"{measured:,.1f}", "", *asked)
    figures = (row["what"], f"{floor:,.0f}", f"{measured:,.0f}", f"{row['ratio']:.2f}")
    if least := row.get("least"):
        return (*figures, f"{least:,}", _mark(measured >= least))
    target = row["target"]
    return (
        *figures,
        *(("", "") if target is None else (f"{target}", _mark(row["ratio"] >= target))),
    )


def _mark(met: bool) -> str:
    return "met" if met else "missed"


def costs(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of what one row cost, in µs of processor time."""
    spent = row["cost"].values()
    return (row["what"], *(f"{one:.2f}" for one in spent), f"{sum(spent):.2f}")


def show(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    shown = Table(*head)
    for row in rows:
        shown.add_row(*row)
    Console(width=120).print(shown)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table as Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def write(name: str, pieces: dict[str, str]) -> None:
    """Write the page of an engine: its text with the figures in it."""
    page = (HERE / "page" / f"{name}.md").read_text(encoding="utf-8")
    for piece, text in pieces.items():
        page = page.replace(f"{{{piece}}}", text)
    target = "benchmarks.md" if name == "sqlite" else f"benchmarks-{name}.md"
    (DOCS / target).write_text(page, encoding="utf-8")


def stamp() -> str:
    """Say when and on what."""
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    cores = subprocess.run(["nproc"], capture_output=True, text=True, check=False).stdout.strip()
    return f"Measured on {time.strftime('%Y-%m-%d')}: {cores} cores, {machine}."


def measured(name: str, engine: Engine) -> list[dict[str, Any]]:
    """Return the rows of all that makes sense on an engine."""
    rows = []
    for module in _EMBEDDED if name == "sqlite" else _CLUSTER:
        print(f"measuring {module.__name__} …", flush=True)
        run = module.run if module in _WITHOUT_ENGINE else partial(module.run, engine)
        rows += run()
    return rows


def main() -> None:
    name = chosen()
    with ENGINES[name]() as engine:
        rows = measured(name, engine)
    told = [cells(row) for row in rows]
    spent = [costs(row) for row in rows if "cost" in row]
    show(HEAD, told)
    if spent:
        show(COST_HEAD, spent)
    write(name, {"stamp": stamp(), "rows": table(HEAD, told), "costs": table(COST_HEAD, spent)})
    for row in told:
        if row[-1] == "missed":
            print(f"missed: {row[0]}")


if __name__ == "__main__":
    main()
