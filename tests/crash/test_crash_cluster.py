"""Several intakes and workers on one engine, of which something fails all the time.

What is tested is what ``docs/cluster.md`` promises: every event that got a 202 is delivered;
``sqlite``, ``postgres`` and ``jsonl`` have it exactly once, in the order of its key where that is
asked for, whoever was killed, frozen or cut off meanwhile; ``http`` has it at least once, under one
key; so has the bus what a flow puts there, under one id. A producer keeps to one intake, and goes
to the other, two seconds later, only when that one does not answer.

``BUSWAY_CRASH_ROUNDS`` sets how much goes wrong (each thing once by itself), ``BUSWAY_CRASH_SEED``
repeats a run as far as it can be.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path

import pytest

from crash import mood
from crash.books import Books, books_of
from crash.compare import (
    compare_dead,
    compare_files,
    compare_log,
    compare_postgres,
    compare_replays,
    compare_target,
)
from crash.evidence import Sent
from crash.installation import Installation, Servers, installed, servers_of
from crash.mischief import Deed, Mischief
from crash.operator import Operator
from crash.producer import Producers, producing
from http_target import Answer, HttpTarget, http_target

FLOWS = Path(__file__).with_name("flows.py")
ROUNDS = int(os.environ.get("BUSWAY_CRASH_ROUNDS", "0"))
SEED = os.environ.get("BUSWAY_CRASH_SEED") or f"{random.SystemRandom().getrandbits(32):08x}"
PATIENCE_S = 60.0
"""An intake that lives answers within that time, whatever its engine goes through."""
PACE_S = 0.6 if ROUNDS else 4.0
OPERATOR_RESTS_S = 2.0
AWAY_S = 4.0 if ROUNDS else 1.0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["postgres", "jetstream"])
def test_a_cluster_delivers_each_acknowledged_event_exactly_once(
    tmp_path: Path, engine: str
) -> None:
    print(f"BUSWAY_CRASH_SEED={SEED} BUSWAY_CRASH_ROUNDS={ROUNDS}")
    with servers_of(engine) as servers:
        asyncio.run(crash_and_compare(servers, tmp_path))


async def crash_and_compare(servers: Servers, home: Path) -> None:
    chance = random.Random(f"mood {SEED}")
    shop = servers.database("shop")
    async with http_target() as target:
        target.decide = lambda call: mood.moody(chance)
        where = {"CRASH_HOME": str(home), "CRASH_URL": target.url, "CRASH_DSN": shop}
        operator = Operator(home, random.Random(f"operator {SEED}"), OPERATOR_RESTS_S)
        async with installed(servers, FLOWS, home, where) as installation:
            await installation.start()
            async with books_of(servers.engine()) as books:
                sent = await crash_again_and_again(installation, books, target, operator)
                compare_log(home, await books.events(), sent)
            await installation.console.check()
            compare_files(home, sent)
            compare_target(target, sent)
            compare_replays(operator.files, sent)
            await compare_postgres(shop, sent)
            await compare_dead(installation.console, sent)


async def crash_again_and_again(
    installation: Installation, books: Books, target: HttpTarget, operator: Operator
) -> Sent:
    """Go through all rounds, have all run and settle, and return what was sent."""
    mischief = Mischief(installation, target, random.Random(SEED), AWAY_S)
    async with producing(SEED, PATIENCE_S, pace_s=PACE_S) as producers:
        producers.send_to(lambda: installation.urls)
        await go_wrong(mischief, books, producers, steer(installation, operator))
        sent = await producers.finish()
    began = time.monotonic()
    target.decide = lambda call: Answer()
    url = installation.intakes[0].url
    await operator.release(url)
    await books.until_settled(lambda: operator.left(url), lambda: installation.log)
    print(f"settled within {time.monotonic() - began:.1f} s")
    assert len(sent.acknowledged) > 10 * ROUNDS
    tell(sent, producers, operator)
    await installation.terminate()
    return sent


async def go_wrong(
    mischief: Mischief,
    books: Books,
    producers: Producers,
    steering: Coroutine[object, object, None],
) -> None:
    """Do mischief in all rounds, while an operator steers; look at the books after each.

    The next one comes once events are taken again.
    """
    task = asyncio.create_task(steering)
    try:
        for deed in rounds_of(mischief.deeds):
            times = [time.monotonic()]
            for part in (deed, books.check, producers.until_answered):
                await part()
                times.append(time.monotonic())
            done, looked, taken = (f"{b - a:.1f} s" for a, b in itertools.pairwise(times))
            print(f"{deed.__name__} {done}, looked at {looked}, taken {taken}", flush=True)
            assert not task.done(), task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def rounds_of(deeds: Sequence[Deed]) -> Sequence[Deed]:
    """Return what to do: all of it once, or in any order as often as there are rounds."""
    chance, found = random.Random(f"rounds {SEED}"), list[Deed]()
    while len(found) < (ROUNDS or len(deeds)):
        found += chance.sample(deeds, len(deeds))
    return found[: ROUNDS or len(deeds)]


async def steer(installation: Installation, operator: Operator) -> None:
    chance = random.Random(f"steer {SEED}")
    while True:
        await operator.work(installation.url(chance))
        await asyncio.sleep(0.1)  # that one does not answer


def tell(sent: Sent, producers: Producers, operator: Operator) -> None:
    print(f"the operator was answered: {operator.done}")
    print(
        f"{len(sent.acknowledged)} of {len(sent.every)} acknowledged,"
        f" {producers.repeated} repeats, {producers.moved} of them elsewhere"
    )
