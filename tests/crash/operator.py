"""An operator who steers, redrives and replays while the process is being killed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from crash.answer import answered
from proof import PROOF

FLOWS = ("to_sqlite", "to_postgres", "to_jsonl", "to_http", "flaky", "flaky_postgres", "filtered")
REPLAYED = ("to_sqlite", "to_postgres", "to_jsonl", "to_http", "flaky_postgres")


_UNANSWERED = (aiohttp.ClientError, TimeoutError, ConnectionError)


class Operator:
    """Asks for one thing after the other; an answer may be lost with the process that gave it.

    It rests ``pause_s`` at most between two requests.
    """

    def __init__(self, home: Path, chance: random.Random, pause_s: float) -> None:
        self._home = home
        self._chance = chance
        self._pause_s = pause_s
        self._base = ""
        self.done: dict[str, int] = {}
        """How often each was answered."""
        self.files: list[Path] = []
        """What was replayed into."""

    async def work(self, events_url: str) -> None:
        """Ask until cancelled, or until nobody answers."""
        self._base = events_url.removesuffix("/events")
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout, headers=PROOF) as session:
            while True:
                deed = self._chance.choice(self._deeds)
                try:
                    await deed(self, session)
                except _UNANSWERED:
                    return
                self.done[deed.__name__] = self.done.get(deed.__name__, 0) + 1
                await asyncio.sleep(self._chance.random() * self._pause_s)

    async def release(self, events_url: str) -> None:
        """Resume all that is paused or stopped."""
        self._base = events_url.removesuffix("/events")
        await answered(self._release, _passes)

    async def left(self, events_url: str) -> int:
        """Return what jobs have left to do: each at least one, until it is done.

        All is released before: what was asked for last, and not answered, may be done late.
        """
        await self.release(events_url)
        return await answered(self._left, _passes)

    async def _release(self) -> None:
        async with aiohttp.ClientSession(headers=PROOF) as session:
            for flow in FLOWS:
                await self._send(session, "POST", f"flows/{flow}/resume")
                await self._send(session, "DELETE", f"flows/{flow}/throttle")
            for job in await self.jobs(session):
                if job["state"] in ("stopped", "failed"):
                    await self._send(session, "POST", f"jobs/{job['id']}/resume")

    async def _left(self) -> int:
        async with aiohttp.ClientSession(headers=PROOF) as session:
            going = [job for job in await self.jobs(session) if job["state"] != "done"]
        return sum(1 + max((job["total"] or 0) - job["done"], 0) for job in going)

    async def jobs(self, session: aiohttp.ClientSession) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self._send(session, "GET", f"jobs?limit=1000&cursor={cursor}")
            found += page["items"]
            cursor = page["next"]
        return found

    async def pause(self, session: aiohttp.ClientSession) -> None:
        lasts = {"for": f"{self._chance.randint(20, 400)}ms"} if self._chance.random() < 0.7 else {}
        await self._send(session, "POST", f"flows/{self._flow}/pause", lasts)

    async def resume(self, session: aiohttp.ClientSession) -> None:
        await self._send(session, "POST", f"flows/{self._flow}/resume")

    async def drain(self, session: aiohttp.ClientSession) -> None:
        await self._send(session, "POST", f"flows/{self._flow}/drain")

    async def throttle(self, session: aiohttp.ClientSession) -> None:
        rate = {"rate": f"{self._chance.choice([200, 1000, 5000])}/s"}
        await self._send(session, "PUT", f"flows/{self._flow}/throttle", rate)

    async def redrive(self, session: aiohttp.ClientSession) -> None:
        selection = {"flow": self._chance.choice(("flaky", "flaky_ordered", "flaky_postgres"))}
        rate = self._chance.choice((None, "200/s"))
        await self._send(session, "POST", "dead/redrive", {"selection": selection, "rate": rate})

    async def replay(self, session: aiohttp.ClientSession) -> None:
        wanted: dict[str, Any] = {"flow": self._chance.choice(REPLAYED)}
        if self._chance.random() < 0.3:
            file = self._home / f"replay-{len(self.files)}.jsonl"
            self.files.append(file)
            wanted["into"] = file.name
        await self._send(session, "POST", "replays", wanted)

    async def stop_or_resume(self, session: aiohttp.ClientSession) -> None:
        going = [job for job in await self.jobs(session) if job["state"] in ("running", "stopped")]
        if going:
            job = self._chance.choice(going)
            verb = "stop" if job["state"] == "running" else "resume"
            await self._send(session, "POST", f"jobs/{job['id']}/{verb}")

    _deeds: tuple[Callable[[Operator, aiohttp.ClientSession], Awaitable[None]], ...] = (
        pause,
        resume,
        resume,
        drain,
        throttle,
        redrive,
        replay,
        stop_or_resume,
    )

    @property
    def _flow(self) -> str:
        return self._chance.choice(FLOWS)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        given = None if method == "GET" else dict(body or {})
        url = f"{self._base}/api/v1/{path}"
        async with session.request(method, url, json=given) as answer:
            text = await answer.read()
            if answer.status == 503:
                raise ConnectionError(text)
            fine = answer.status < 300 or answer.status in (404, 409)
            assert fine or b"nothing to replay" in text, (method, path, text)
            return msgspec.json.decode(text) if text else None


def _passes(error: Exception) -> bool:
    return isinstance(error, _UNANSWERED)
