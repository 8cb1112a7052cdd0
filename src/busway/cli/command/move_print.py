"""The progress of a move: bars on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining

from busway.cli.output import echo, echo_json, echo_lines
from busway.control.move.mover import MovePlan, MoveReport, MoveStep

_PRINT_INTERVAL_S = 2.0


class MoveProgress(Protocol):
    """Shows the progress of each step."""

    def tell(self, step: MoveStep, done: int, total: int) -> None: ...

    def stop(self) -> None: ...


@contextmanager
def move_progress(json: bool) -> Iterator[MoveProgress]:
    """Show progress in the form that suits the output, until the end of the block."""
    terminal = sys.stderr.isatty() and not json
    show: MoveProgress = _Bars() if terminal else _Lines(json)
    try:
        yield show
    finally:
        show.stop()


class _Bars:
    """A bar for each step."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:13}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, Remaining(), console=Console(stderr=True))
        self._tasks: dict[MoveStep, TaskID] = {}

    def tell(self, step: MoveStep, done: int, total: int) -> None:
        if not self._tasks:
            self._progress.start()
        if step not in self._tasks:
            for task in self._tasks.values():
                self._progress.stop_task(task)
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done)

    def stop(self) -> None:
        self._progress.stop()


class _Lines:
    """A line now and then, and where a step begins and ends."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._told: tuple[MoveStep, int] | None = None
        self._told_at = 0.0

    def tell(self, step: MoveStep, done: int, total: int) -> None:
        if self._told == (step, done) or (not self._json and self._is_soon(step, done, total)):
            return
        self._told, self._told_at = (step, done), time.monotonic()
        if self._json:
            as_line({"step": step, "done": done, "total": total})
            return
        echo(f"{step}: {done:,} of {total:,}", err=True)

    def _is_soon(self, step: MoveStep, done: int, total: int) -> bool:
        same = self._told is not None and self._told[0] == step
        return same and done < total and time.monotonic() - self._told_at < _PRINT_INTERVAL_S

    def stop(self) -> None:
        """Nothing to take down."""


def as_line(value: object) -> None:
    """Print a value as one line of JSON."""
    echo_json(msgspec.json.encode(value))


def print_plan(plan: MovePlan, json: bool) -> None:
    """Print what there is to move."""
    if json:
        as_line({"plan": plan})
        return
    echo_lines(
        f"from  {plan.origin}\nto    {plan.to} ({_STANDS[plan.target]})\n"
        f"      {plan.events:,} events in {plan.partitions} partitions, {_size(plan.bytes)}\n"
        f"      {plan.lanes:,} lanes, {plan.parked:,} parked events, {plan.dead:,} dead letters\n"
        f"      {plan.records:,} records of the ledger in all"
    )
    if plan.reason:
        echo(plan.reason)


def print_report(report: MoveReport, json: bool) -> None:
    """Print what was moved."""
    if json:
        as_line({"moved": report})
        return
    plan = report.plan
    if plan.target == "moved":
        echo(f"{plan.origin} was moved to {plan.to} already; nothing is left to do.")
        return
    for partition in report.partitions:
        echo(
            f"partition {partition.partition}: {partition.base:,}..{partition.end:,},"
            f" checksum {partition.checksum}, the same in both"
        )
    echo_lines(
        f"Moved {plan.events:,} events and {report.records:,} records to {plan.to}, and checked"
        f" them: every event is in exactly one place.\n"
        f"{plan.origin} is marked as moved; run your flows with --engine from now on."
    )


_STANDS = {
    "free": "it can be used",
    "unfinished": "it holds a part of it; this goes on",
    "moved": "all of it is there already",
    "refused": "it cannot be used",
}


def _size(count: int) -> str:
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value, _ = value / 1024, units.pop(0)
    return f"{value:,.0f} {units[0]}"
