"""What a person asks of an installation: ``busway`` commands beside it, or without any server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from crash.progress import Progress

LOOK_EVERY_S = 1.0
_PARTS = ("delivered", "filtered", "parked", "dead", "discarded", "backlog")


class Console:
    """Runs commands with some variables in their environment, which say where all is."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._environment = variables

    async def command(self, *arguments: str) -> bytes:
        """Run a command that goes well, and return its stdout."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "busway", *arguments),
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        assert process.returncode == 0, (arguments, out.decode(), errors.decode())
        return out

    async def check(self) -> None:
        """Have it verified that every event of every flow is in exactly one place."""
        await self.command("check")

    async def status(self) -> dict[str, dict[str, Any]]:
        """Return the status of each flow, by name; its numbers add up."""
        out = await self.command("status", "--json")
        flows = {flow["name"]: flow for flow in msgspec.json.decode(out)["flows"]}
        for flow in flows.values():
            assert flow["accepted"] == sum(flow[part] for part in _PARTS), flow
        return flows

    async def dead(self) -> list[dict[str, Any]]:
        """Return all dead letters."""
        out = await self.command("dead", "list", "--json", "--limit", "1000000")
        found: list[dict[str, Any]] = msgspec.json.decode(out)["items"]
        return found

    async def until_settled(
        self, jobs: Callable[[], Awaitable[int]], errors: Callable[[], str]
    ) -> None:
        """Return once no flow has anything left to do, and no ``jobs`` either."""
        progress = Progress()
        while True:
            flows = await self.status()
            left = {name: (one["backlog"], one["parked"]) for name, one in flows.items()}
            before = await jobs() + sum(map(sum, left.values()))
            if not before:
                return
            assert not progress.stuck(before), f"stuck: {left}, {before} in all; {errors()[-4000:]}"
            await asyncio.sleep(LOOK_EVERY_S)
