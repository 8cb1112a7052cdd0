"""How long a command takes, and a start of a server: in units of what Python takes to start.

Python's own start is the floor; how many times as long something takes hardly depends on the
machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from process import started

RUNS = 9
BUSWAY = [sys.executable, "-m", "busway"]
FLOWS = """
from busway import App
from busway.sinks import jsonl
app = App("startup")
app.flow("all", to=jsonl("out.jsonl"))
"""


def run() -> list[dict[str, Any]]:
    """Return one row for each command, and one for a server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "flows.py").write_text(FLOWS)
        data = folder / "data"
        server = ["-m", "busway", "run", folder / "flows.py", "--port", "0", "--data", data]
        python = _median([sys.executable, "-c", "pass"])
        version = _median([*BUSWAY, "--version"])
        ready = statistics.median(_ready_s(server) for _ in range(RUNS))
        with started(server):
            asked = _median([*BUSWAY, "status", "--data", str(data)])
        alone = _median([*BUSWAY, "status", "--data", str(data)])
    return [
        _row("busway --version", version, python, 15),
        _row("busway status, of a server", asked, python, 45),
        _row("busway status, no server runs", alone, python, 80),
        _row("busway run, until it is ready", ready, python, 100),
    ]


def _row(what: str, took_s: float, python_s: float, limit: int) -> dict[str, Any]:
    unit = f"{what} (times as long as python -c pass, {python_s * 1000:.0f} ms)"
    return {"what": unit, "measured": took_s / python_s, "limit": limit}


def _median(command: Sequence[str]) -> float:
    return statistics.median(_took_s(command) for _ in range(RUNS))


def _took_s(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def _ready_s(server: Sequence[object]) -> float:
    began = time.perf_counter()
    with started(server):
        return time.perf_counter() - began
