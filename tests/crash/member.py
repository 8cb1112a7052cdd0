"""A process of an installation, which a test starts, stops, freezes and kills."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

READY_S = 60.0
ENDED_S = 60.0
INFO = '"level":"info"'
BUGS = ("loop failed", "was destroyed but it is pending", "was never awaited")


class Member:
    """One ``busway`` command that serves or works; what it says is kept from start to start."""

    def __init__(self, arguments: tuple[str, ...], log: Path, variables: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._log = log
        self._environment = variables
        self._process: asyncio.subprocess.Process | None = None
        self._began_at = 0
        self.name = log.stem
        self.port = 0

    @property
    def log(self) -> str:
        """What it wrote to stderr so far, apart from what is just for information."""
        text = self._log.read_text() if self._log.exists() else ""
        return "\n".join(line for line in text.splitlines() if INFO not in line)

    @property
    def bugs(self) -> list[str]:
        """What it wrote that it never should, whatever goes wrong around it."""
        return [line for line in self.log.splitlines() if any(bug in line for bug in BUGS)]

    @property
    def lanes(self) -> int:
        """How many lanes it works, by what it said since it was started last."""
        said = self._log.read_bytes()[self._began_at :]
        left = said.count(b'"lane released"') + said.count(b'"lane lost to another worker"')
        return said.count(b'"lane acquired"') - left

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and return once it is ready; one that gives up is started again."""
        async with asyncio.timeout(READY_S):
            while not (ready := await self._started()):
                pass
        if b"://" in (before := ready.partition(b"(")[0]):
            self.port = int(before.rpartition(b":")[2])

    async def _started(self) -> bytes:
        with self._log.open("ab") as errors:
            self._began_at = errors.tell()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "busway", *self._arguments),
                env=self._environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            await self._process.wait()
        return line

    async def kill(self) -> None:
        """Kill it and all that it started, at once, where it runs."""
        if self._process is None or not self.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def freeze(self) -> None:
        """Have it stand still."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    async def terminate(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), ENDED_S)
