"""What tests of replays ask of a node that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from busway.control.replay import operation as control
from busway.control.replay.count import ReplayCount, count_replay
from busway.control.replay.operation import Replay, ReplayRequest
from busway.delivery.replay import ReplaySelection
from delivery_node import Running, until


async def counted(node: Running, flow: str = "f", **asked: Any) -> ReplayCount:
    return await count_replay(node.node.control, _request(flow, asked))


async def begun(node: Running, flow: str = "f", **asked: Any) -> Replay:
    return await control.begin_replay(node.node.control, _request(flow, asked), "tester")


async def ended(node: Running, id: str) -> Replay:
    """Wait until a replay is done, and return it."""
    return await reached(node, id, lambda one: one.state == "done")


async def reached(node: Running, id: str, condition: Callable[[Replay], bool]) -> Replay:
    """Wait until something holds of a replay, and return it."""
    seen: list[Replay] = []

    async def holds() -> bool:
        seen[:] = [await control.replay(node.node.control, id)]
        parts = seen[0]
        fates = parts.delivered + parts.skipped + parts.filtered
        assert parts.done == fates + parts.parked + parts.dead + parts.discarded
        return condition(seen[0])

    try:
        await until(holds)
    except AssertionError:
        raise AssertionError(f"it did not come true, but is {seen}") from None
    return seen[0]


async def replayed(node: Running, flow: str = "f", **asked: Any) -> Replay:
    """Replay, and wait for the end."""
    return await ended(node, (await begun(node, flow, **asked)).id)


def _request(flow: str, asked: dict[str, Any]) -> ReplayRequest:
    terms = {name: asked.pop(name) for name in ("into", "rate", "force") if name in asked}
    return ReplayRequest(flow=flow, select=ReplaySelection(**asked), **terms)
