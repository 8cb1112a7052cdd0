"""A patch that takes its time: what else there is to do goes on beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from api_client import api_of
from busway import App, Event, Reject
from busway.sinks import console
from delivery_node import event, running, until

PATCH = "import time\ndef patch(event):\n    time.sleep(0.6)\n    return {'n': 0}\n"
LETTERS = 60


def app() -> App:
    found = App("shop")

    @found.flow(when={"type": ["made"]}, to=console())
    def slow(event: Event) -> None:
        raise Reject("always")

    @found.flow(when={"type": ["made"]}, to=console())
    def other(event: Event) -> None:
        raise Reject("always")

    return found


async def test_other_jobs_do_not_wait_for_it_and_it_can_be_stopped(tmp_path: Path) -> None:
    async with running(app(), tmp_path / "data") as node, api_of(node) as api:
        await node.post(*(event(number) for number in range(LETTERS)))
        await node.until("slow", dead=LETTERS)
        await node.until("other", dead=LETTERS)
        selection = {"selection": {"flow": "slow"}}
        patching = await begun(api, "/dead/patch", selection | {"patch": PATCH})
        dropped = {"selection": {"flow": "other"}, "reason": "a test"}
        discarding = await begun(api, "/dead/discard", dropped)

        async def is_done() -> bool:
            return bool((await api.get(f"/jobs/{discarding}")).json()["state"] == "done")

        await until(is_done, "the other job")
        stopped = (await api.post(f"/jobs/{patching}/stop", json={})).json()
        assert stopped["state"] == "stopped"
        assert stopped["done"] < LETTERS / 2


async def begun(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> str:
    return str((await api.post(path, json=body)).json()["job"]["id"])
