"""An event that ends the process, again and again, becomes a dead letter, and all others land."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from busway.control.conservation_check import check_conservation
from busway.control.record import IN_FLIGHT, RUNNING
from busway.engine.registry import open_stores
from busway.failed_event import FailedEvent, FailedEventQuery
from busway.ports import Stores
from busway.settings import Settings
from command import DEADLINE_S, EVENT, environment, get, select, start
from service import NO_TLS

COUNT = 60
KILLER = 23
FLOWS = """
import os
from busway import App, Backoff
from busway.sinks import sqlite

app = App("t")

@app.flow(
    to=sqlite("out.db", table="orders", key="n", create=True),
    retry=Backoff(first=0.01, cap=0.05, attempts=3),
    ordered={ordered},
)
def orders(event):
    if event.data["n"] == 23:
        os._exit(1)
    return {{"n": event.data["n"]}}
"""


class Loop:
    """A supervisor that starts the process again whenever it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deaths = 0
        self.posted = False
        self.seen: dict[str, int] = {}
        self.deadline = time.monotonic() + 3 * DEADLINE_S

    def run_until_it_stays(self) -> None:
        while not self._stays():
            self.deaths += 1
            assert time.monotonic() < self.deadline, f"after {self.deaths} deaths: {self.seen}"

    def _stays(self) -> bool:
        """Run it; return once it has died, or all is settled and it was stopped in good order."""
        with (self.folder / "stderr.log").open("a") as log:
            command = ("run", "flows.py", "--port", "0")
            process = start(*command, cwd=self.folder, env=environment(), stderr=log)
        assert process.stdout is not None
        try:
            words = process.stdout.readline().split()
            url = next((word for word in words if word.startswith("http://")), None)
            while process.poll() is None:
                if url is not None and self._is_done(url):
                    process.terminate()
                    assert process.wait(DEADLINE_S) == 0
                    return True
                assert time.monotonic() < self.deadline, f"after {self.deaths} deaths: {self.seen}"
                time.sleep(0.02)
            return False
        finally:
            process.kill()
            process.communicate(timeout=DEADLINE_S)

    def _is_done(self, url: str) -> bool:
        try:
            if not self.posted:
                self.posted = self._post(url)
            (flow,) = get(f"{url}/api/v1/flows").json()["items"]
        except httpx.TransportError:
            return False
        self.seen = {name: flow[name] for name in ("delivered", "dead", "parked", "backlog")}
        return self.seen == {"delivered": COUNT - 1, "dead": 1, "parked": 0, "backlog": 0}

    def _post(self, url: str) -> bool:
        """Post all; what an answer was lost of is known again the next time."""
        events = [
            EVENT | {"id": f"e{n}", "subject": f"k{n % 5}", "data": {"n": n}} for n in range(COUNT)
        ]
        body = b"\n".join(msgspec.json.encode(one) for one in events)
        headers = {"content-type": "application/x-ndjson"}
        url = f"{url}/events"
        answer = httpx.post(url, content=body, headers=headers, timeout=DEADLINE_S, verify=NO_TLS)
        return answer.status_code == 202


async def dead_letter(stores: Stores) -> FailedEvent:
    (found,) = await stores.ledger.failed_events(FailedEventQuery(flow="orders"))
    return found


async def left_over(stores: Stores) -> dict[str, Any]:
    return {**await stores.ledger.get_values(IN_FLIGHT), **await stores.ledger.get_values(RUNNING)}


@pytest.mark.parametrize("ordered", [False, True])
async def test_an_event_that_ends_the_process_does_not_do_so_for_ever(
    tmp_path: Path, ordered: bool
) -> None:
    (tmp_path / "flows.py").write_text(FLOWS.format(ordered=ordered))
    loop = Loop(tmp_path)
    loop.run_until_it_stays()
    landed = {n for (n,) in select(tmp_path / "out.db", "SELECT n FROM orders")}
    assert landed == set(range(COUNT)) - {KILLER}
    stores = await open_stores(Settings(data=tmp_path / ".busway"))
    try:
        letter = await dead_letter(stores)
        assert (letter.event_id, letter.state, letter.attempts) == (f"e{KILLER}", "dead", 3)
        assert [one.error for one in letter.failures] == ["interrupted"] * 3
        assert [one.attempt for one in letter.failures] == [1, 2, 3]
        assert await left_over(stores) == {}, "a stop in good order leaves no mark"
        assert await check_conservation(stores.log, stores.ledger) == []
    finally:
        await stores.close()
    assert 4 <= loop.deaths <= 8
