"""One event that its destination cannot stand never stops the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from busway import App
from busway.sinks import http
from delivery_node import QUICK, Running, event, running, until
from http_target import Answer, Call, HttpTarget, http_target

BAD = 3


def number(call: Call) -> int:
    found: int = msgspec.json.decode(call.body)["data"]["n"]
    return found


def poisoned(answer: Answer) -> Callable[[Call], Answer]:
    return lambda call: answer if number(call) == BAD else Answer()


def taken(target: HttpTarget) -> set[int]:
    return {number(call) for call in target.taken}


def an_app(target: HttpTarget, answer: Answer, *, ordered: bool) -> App:
    """Return an app that waits for a short time only where the target hangs."""
    app = App("t")
    to = http(target.url, timeout="300ms" if answer.hang else "20s", concurrency=2)
    app.flow("f", to=to, retry=QUICK, ordered=ordered)
    return app


async def feed_until_dead(busway: Running, first: int) -> int:
    """Post a good event now and then, until the bad one is out of attempts; return the next."""
    following = first

    async def dead() -> bool:
        nonlocal following
        await busway.post(event(following, key=f"k{following % 2}"))
        following += 1
        return (await busway.status("f")).dead == 1

    await until(dead, "the poisonous event being given up")
    return following


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("answer", [Answer(503), Answer(hang=True), Answer(drop=True)], ids=str)
async def test_it_comes_with_others(tmp_path: Path, answer: Answer, ordered: bool) -> None:
    async with http_target() as target:
        target.decide = poisoned(answer)
        app = an_app(target, answer, ordered=ordered)
        async with running(app, tmp_path, partitions=1) as busway:
            await busway.post(*[event(n, key=f"k{n % 2}") for n in range(20)])
            await until(lambda: {n for n in range(20) if n % 2 == 0} <= taken(target))
            count = await feed_until_dead(busway, 20)
            status = await busway.until("f", delivered=count - 1, dead=1, parked=0, backlog=0)
            assert status.accepted == count
            (letter,) = await busway.troubles("f", state="dead")
            assert letter.event_id == f"e{BAD}"
            assert letter.attempts == QUICK.attempts
        assert taken(target) == set(range(count)) - {BAD}


@pytest.mark.parametrize("answer", [Answer(503), Answer(hang=True)], ids=str)
async def test_it_comes_first_and_alone(tmp_path: Path, answer: Answer) -> None:
    async with http_target() as target:
        target.decide = poisoned(answer)
        app = an_app(target, answer, ordered=False)
        async with running(app, tmp_path, partitions=1) as busway:
            await busway.post(event(BAD, key="k0"))
            await until(lambda: len(target.calls) > 0)
            await busway.until("f", breaker="open")
            await busway.post(event(4, key="k0"))
            await until(lambda: 4 in taken(target), "the next one being delivered")
            count = await feed_until_dead(busway, 5)
            await busway.until("f", delivered=count - BAD - 1, dead=1, parked=0, backlog=0)
        assert taken(target) == set(range(BAD + 1, count))
