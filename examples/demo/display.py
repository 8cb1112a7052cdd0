"""Show what goes on: live bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import NamedTuple, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

LINE_EVERY_S = 1.0


class Bar(NamedTuple):
    """One line of the display."""

    name: str
    done: int
    total: int
    note: str = ""


class Display:
    """The bars of the demo, and the lines that it says above them."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self._began = time.monotonic()
        self._last_line = 0.0
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:>9,.0f} of {task.total:,.0f}"),
            TextColumn("[dim]{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print one line, with the seconds since the start."""
        at = f"[dim]{time.monotonic() - self._began:6.1f} s[/]"
        self.console.print(f"{at}  {text}", soft_wrap=True)

    def show(self, bars: list[Bar]) -> None:
        """Show how far everything is."""
        if self.console.is_terminal:
            for bar in bars:
                self._draw(bar)
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self.say(", ".join(f"{bar.name} {bar.done:,}" for bar in bars))

    def _draw(self, bar: Bar) -> None:
        if bar.name not in self._tasks:
            self._tasks[bar.name] = self._progress.add_task(bar.name, total=bar.total, note="")
        self._progress.update(self._tasks[bar.name], completed=bar.done, note=bar.note)

    def table(self, columns: list[str], rows: list[list[object]]) -> None:
        """Print rows under their columns, numbers to the right."""
        table = Table(box=box.SIMPLE_HEAD)
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if isinstance(rows[0][index], int) else "left")
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
        self.console.print(table)
