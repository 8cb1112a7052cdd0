"""Order by key holds while events fail, in steps and at the destination, and are given again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from busway import App, Backoff, Event, Reject
from busway.control.context import ControlContext
from busway.control.dead_letter.command import (
    ActionResult,
    DeadLetterAction,
    DeadLetterCommand,
    apply_command,
)
from busway.control.dead_letter.selection import (
    DeadLetterSelection,
    select_dead_letters,
)
from busway.failed_event import FailedEvent
from busway.sinks import http, jsonl
from crash.evidence import lines
from delivery_node import QUICK, event, running
from http_target import Answer, Call, http_target

COUNT = 400
KEYS = 5
PATIENT = Backoff(first=0.01, factor=1.0, attempts=1_000_000)
Step = Callable[[Event], dict[str, Any]]


def ascending(found: list[tuple[str, int]]) -> None:
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for key, number in found:
        if number not in by_key[key]:
            by_key[key].append(number)
    for numbers in by_key.values():
        assert numbers == sorted(numbers)


def in_order(step: Step, folder: Path) -> App:
    """Return an app whose flow ``f`` keeps order by key, with a file as its destination."""
    app = App("t")
    to = jsonl(str(folder / "o.jsonl"))
    app.flow("f", to=to, steps=[step], retry=PATIENT, ordered=True)
    return app


def some(first: int, last: int) -> list[dict[str, Any]]:
    return [event(n, key=f"k{n % KEYS}") for n in range(first, last)]


async def test_step_and_sink_failures_keep_the_order_of_each_key(tmp_path: Path) -> None:
    def step(event: Event) -> dict[str, Any] | None:
        number = event.data["n"]
        if number % 13 == 0 and event.attempt < 3:
            raise ConnectionError("not yet")
        if number % 17 == 1:
            raise Reject("never")
        return None if number % 7 == 3 else {"key": event.key, "n": number}

    seen: defaultdict[int, int] = defaultdict(int)

    def decide(call: Call) -> Answer:
        number = msgspec.json.decode(call.body)["n"]
        seen[number] += 1
        return Answer(500 if number % 11 == 0 and seen[number] < 3 else 200)

    async with http_target() as target:
        target.decide = decide
        app = App("t")
        app.flow("h", to=http(target.url), steps=[step], retry=PATIENT, ordered=True)
        to = jsonl(str(tmp_path / "o.jsonl"))
        app.flow("j", to=to, steps=[step], retry=PATIENT, ordered=True)
        async with running(app, tmp_path / "data") as busway:
            for first in range(0, COUNT, 20):
                await busway.post(*some(first, first + 20))
            for flow in ("h", "j"):
                await busway.until(flow, parked=0, backlog=0, accepted=COUNT)
        taken = [msgspec.json.decode(call.body) for call in target.taken]
    kept = {n for n in range(COUNT) if n % 17 != 1 and (n % 7 != 3)}
    assert {one["n"] for one in taken} == kept
    ascending([(one["key"], one["n"]) for one in taken])
    written = lines(tmp_path / "o.jsonl")
    assert sorted(one["n"] for one in written) == sorted(kept)
    ascending([(one["key"], one["n"]) for one in written])


async def test_only_the_key_of_a_failed_event_waits(tmp_path: Path) -> None:
    open_gate = False

    def step(event: Event) -> dict[str, Any]:
        if event.data["n"] == 0 and not open_gate:
            raise ConnectionError("not yet")
        return {"key": event.key, "n": event.data["n"]}

    async with running(in_order(step, tmp_path), tmp_path / "data") as busway:
        await busway.post(*some(0, 50))
        await busway.until("f", delivered=40, parked=10, backlog=0)
        waiting = [one for one in await busway.troubles("f") if one.offset and not one.attempts]
        assert len(waiting) == 9, "nine wait behind the first, and used no attempt up"
        open_gate = True
        await busway.until("f", delivered=50, parked=0)
    written = lines(tmp_path / "o.jsonl")
    ascending([(one["key"], one["n"]) for one in written])


async def test_a_long_queue_behind_one_event_is_drained_together(tmp_path: Path) -> None:
    def step(event: Event) -> dict[str, Any]:
        if event.data["n"] == 0 and event.attempt < 4:
            raise ConnectionError("not yet")
        return {"n": event.data["n"]}

    async with running(in_order(step, tmp_path), tmp_path / "data") as busway:
        await busway.post(*[event(n, key="one") for n in range(3000)])
        await busway.until("f", delivered=3000, parked=0, backlog=0)
    written = [one["n"] for one in lines(tmp_path / "o.jsonl")]
    assert written == list(range(3000))


async def test_redrive_and_discard_while_it_runs(tmp_path: Path) -> None:
    broken = True

    def step(event: Event) -> dict[str, Any]:
        if broken and event.data["n"] % 10 == 0:
            raise ValueError("broken")
        return {"n": event.data["n"]}

    app = App("t")
    app.flow("f", to=jsonl(str(tmp_path / "o.jsonl")), steps=[step], retry=QUICK)
    async with running(app, tmp_path / "data") as busway:
        ledger = busway.stores.ledger

        async def letters() -> Sequence[FailedEvent]:
            return (await select_dead_letters(ledger, DeadLetterSelection(flow="f"))).failed_events

        async def dealt(action: DeadLetterAction, letters: Sequence[FailedEvent]) -> ActionResult:
            control = ControlContext(log=busway.stores.log, ledger=ledger)
            return await apply_command(
                control, letters, DeadLetterCommand(action=action, actor="ann")
            )

        await busway.post(*some(0, 100))
        await busway.until("f", delivered=90, dead=10, parked=0)
        assert all(len(one.failures) == QUICK.attempts for one in await letters())
        assert (await dealt("redrive", await letters())).done == 10
        await busway.until("f", dead=10, parked=0)
        again = await letters()
        assert (await dealt("discard", again[:4])).done == 4
        assert (await dealt("discard", again[:4])).done == 0, "a second time does nothing"
        broken = False
        await busway.post(*some(100, 200))
        redriven = await dealt("redrive", again)
        assert (redriven.done, len(redriven.skipped)) == (6, 4)
        await busway.until("f", delivered=196, dead=0, parked=0, discarded=4)
    written = [one["n"] for one in lines(tmp_path / "o.jsonl")]
    assert len(written) == len(set(written)) == 196


async def test_what_waits_behind_failing_events_is_not_begun_in_vain(tmp_path: Path) -> None:
    calls = 0

    def step(event: Event) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if event.data["n"] < 50 and event.attempt < 2:
            raise ConnectionError("not yet")
        return {"n": event.data["n"]}

    async with running(in_order(step, tmp_path), tmp_path / "data") as busway:
        await busway.post(*[event(n, key="one") for n in range(150)])
        await busway.until("f", delivered=150, parked=0, backlog=0)
    assert [one["n"] for one in lines(tmp_path / "o.jsonl")] == list(range(150))
    assert calls < 1000, "each failing one had but a few of those behind it tried with it"
