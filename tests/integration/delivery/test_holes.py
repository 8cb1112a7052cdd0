"""What fails in a step while the destination is down must still land in it later."""

from __future__ import annotations

from pathlib import Path

from busway import App, Backoff, Event
from busway.sinks import jsonl, sqlite
from delivery_node import event, rows, running

EARLY = Backoff(first=3.0, factor=1.0, jitter=0.0, attempts=5)


def fails_at_first(event: Event) -> dict[str, int]:
    if event.data["n"] == 1 and event.attempt == 1:
        raise ConnectionError("not yet")
    return {"n": event.data["n"]}


async def test_a_failed_event_lands_though_the_destination_was_down(tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    out.mkdir()
    app = App("t")
    to = {
        "to_sqlite": sqlite(str(out / "a.db"), table="t", create=True),
        "to_jsonl": jsonl(str(out / "a.jsonl")),
    }
    for name, sink in to.items():
        app.flow(name, to=sink, steps=[fails_at_first], retry=EARLY)
    async with running(app, tmp_path / "data", partitions=1) as busway:
        await busway.post(event(0))
        for name in to:
            await busway.until(name, delivered=1)
        out.rename(away)
        await busway.post(event(1))
        await busway.until("to_sqlite", breaker="open")
        away.rename(out)
        await busway.post(event(2))
        for name in to:
            await busway.until(name, delivered=3, parked=0)
    assert rows(out / "a.db", "SELECT n FROM t ORDER BY n") == [(0,), (1,), (2,)]
    assert sorted((out / "a.jsonl").read_text().split()) == ['{"n":0}', '{"n":1}', '{"n":2}']
