"""A Busway process that a test starts, kills and looks into."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

READY_S = 30.0


class Server:
    """``busway run`` on one data directory, started again and again."""

    def __init__(self, flows: Path, home: Path, variables: Mapping[str, str]) -> None:
        self._flows = flows
        self._data = home / "data"
        self._errors = home / "server.log"
        self._environment = {**os.environ, "BUSWAY_LOG_LEVEL": "warning", **variables}
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def errors(self) -> str:
        """What it wrote to stderr so far."""
        return self._errors.read_text() if self._errors.exists() else ""

    async def start(self) -> None:
        """Start it, and return once it takes events."""
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "busway", "run", str(self._flows)),
                *("--data", str(self._data), "--port", "0"),
                env=self._environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), READY_S)
        assert b"ready" in line, self.errors[-4000:]
        self.port = int(line.split(b"://")[1].split()[0].rpartition(b":")[2])

    async def kill(self) -> None:
        """Kill it and all that it started, at once, where it runs."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def terminate(self, within_s: float) -> int:
        """Ask it to stop, and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), within_s)

    async def command(self, *arguments: str) -> tuple[int, bytes]:
        """Run a ``busway`` command on the data directory; return exit code and stdout."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "busway", *arguments, "--data", str(self._data)),
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out

    async def check(self) -> None:
        """Have it verified that every event of every flow is in exactly one place."""
        code, out = await self.command("check")
        assert code == 0, out.decode()

    async def status(self) -> dict[str, dict[str, Any]]:
        """Return the status of each flow, by name; its numbers add up."""
        code, out = await self.command("status", "--json")
        assert code == 0
        flows = {flow["name"]: flow for flow in msgspec.json.decode(out)["flows"]}
        for flow in flows.values():
            parts = ("delivered", "filtered", "parked", "dead", "discarded", "backlog")
            assert flow["accepted"] == sum(flow[part] for part in parts), flow
        return flows

    async def dead(self) -> list[dict[str, Any]]:
        """Return all dead letters."""
        code, out = await self.command("dead", "list", "--json", "--limit", "1000000")
        assert code == 0
        found: list[dict[str, Any]] = msgspec.json.decode(out)["items"]
        return found
