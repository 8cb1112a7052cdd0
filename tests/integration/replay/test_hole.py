"""A replay goes over what the log has lost, in the middle and at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from busway import App
from busway.sinks import jsonl
from delivery_node import event, running
from replay_node import counted, replayed


@pytest.mark.parametrize("behind", [0, 5])
async def test_a_replay_goes_over_a_hole(tmp_path: Path, behind: int) -> None:
    app = App("t")
    app.flow("f", when={"type": ["made"]}, to=jsonl(str(tmp_path / "out.jsonl")))
    async with running(app, tmp_path / "data", partitions=1) as node:
        await node.post(*(event(n) for n in range(10)))
        await node.until("f", delivered=10)
        await node.stores.log.skip_to(0, 30)
        if behind:
            await node.post(*(event(n) for n in range(10, 10 + behind)))
        await node.until("f", delivered=10 + behind, filtered=20, backlog=0)
        assert (await counted(node)).selected == 10 + behind
        found = await replayed(node, into="again.jsonl", force=True)
        assert (found.delivered, found.filtered, found.total) == (10 + behind, 20, 30 + behind)
