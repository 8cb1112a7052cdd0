"""Busway as the demo runs it: the real command, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

BUSWAY = Path(sys.executable).with_name("busway")
METRIC = re.compile(r'^busway_events_total\{flow="(\w+)",outcome="(\w+)"\} (\S+)', re.MULTILINE)
OPEN = re.compile(r'^busway_breaker_open\{destination="http [^"]*"\} 1', re.MULTILINE)
START_S = 120
STOP_S = 120


class Failure(Exception):
    """The demo cannot go on, or something was not true; the text says what."""


class Server:
    """``busway run`` with a data directory of its own, its log lines in ``busway.log``."""

    def __init__(self, flows: Path, folder: Path, crm_url: str) -> None:
        self._flows = flows
        self._folder = folder
        self._environment = os.environ | {
            "SHOP_DB": str(folder / "shop.db"),
            "SHOP_ARCHIVE": str(folder / "archive.jsonl"),
            "CRM_URL": crm_url,
        }
        self._process: asyncio.subprocess.Process | None = None
        self.data = folder / "data"
        self.url = ""

    async def start(self) -> None:
        """Start it on a free port and wait for the line that says it is ready."""
        arguments = ("run", str(self._flows), "--data", str(self.data), "--port", "0")
        with (self._folder / "busway.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                BUSWAY,
                *arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_S)
        ready = re.search(rb"http://\S+", line)
        if ready is None:
            raise Failure(f"busway did not start; see {self._folder / 'busway.log'}")
        self.url = ready[0].decode()

    async def stop(self) -> int | None:
        """Ask it to end with SIGTERM and return its exit code; ``None`` when it was not running."""
        if self._process is None:
            return None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            raise Failure(f"busway did not end within {STOP_S} s of SIGTERM") from None

    def check_alive(self) -> None:
        """Raise when it has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            log = self._folder / "busway.log"
            raise Failure(f"busway ended with {self._process.returncode}; see {log}")

    async def ask(self, *arguments: str) -> tuple[int, Any]:
        """Run another ``busway`` command with ``--json``; return its exit code and its answer."""
        process = await asyncio.create_subprocess_exec(
            BUSWAY,
            *arguments,
            "--json",
            "--data",
            str(self.data),
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, json.loads(output or b"null")


def is_open(metrics: str) -> bool:
    """Say whether the breaker of an HTTP destination is open."""
    return OPEN.search(metrics) is not None


def outcomes(metrics: str) -> dict[str, dict[str, int]]:
    """Return from ``/metrics`` how many events of each flow came to what at their first try."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for flow, outcome, count in METRIC.findall(metrics):
        found[flow][outcome] = int(float(count))
    return found
