"""A sink that raises: one event fails alone, a failure of the connection is no event's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from busway import Event
from busway.outcome import DELIVERED, Down, Outcome, Retry
from busway.ports import Load, LoadItem, SinkLane
from busway.runtime.admission.load_bisection import MAX_SOLO_FAILURES, LoadBisector


class ApiConnectError(Exception):
    """What a client library raises that knows no ``OSError``."""


def load(count: int, *, ordered: bool = False) -> Load:
    items = [
        LoadItem(n, Event(type="t", source="/s", id=f"e{n}", data={"n": n}), [{"n": n}], "f")
        for n in range(count)
    ]
    return Load(SinkLane("log", "f", 0), items, 0, count, ordered=ordered)


class Sink:
    """Raises for loads that have an event that it does not like."""

    def __init__(self, error: BaseException | None, bad: Sequence[int]) -> None:
        self._error = error
        self._bad = bad
        self.sizes: list[int] = []

    async def write(self, load: Load) -> Sequence[Outcome]:
        self.sizes.append(len(load.items))
        if any(item.offset in self._bad for item in load.items):
            if self._error is None:
                return []
            raise self._error
        return [DELIVERED] * len(load.items)


ODD: list[BaseException | None] = [
    ValueError("no"),
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    GeneratorExit(),
    None,
]


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
async def test_the_event_that_raises_fails_and_the_others_land(error: BaseException | None) -> None:
    sink = Sink(error, [5])
    outcomes = await LoadBisector(divisible=True).write(sink.write, load(8))
    assert [one == DELIVERED for one in outcomes] == [n != 5 for n in range(8)]
    assert isinstance(outcomes[5], Retry)
    assert outcomes[5].error == ("ValueError" if error is None else type(error).__name__)
    assert sink.sizes == [8, 4, 4, 2, 1, 1, 2]


@pytest.mark.parametrize(
    "error", [OSError("no"), TimeoutError(), EOFError(), ApiConnectError("no")]
)
async def test_what_a_connection_raises_is_no_events_fault(error: Exception) -> None:
    sink = Sink(error, range(4))
    for _ in range(MAX_SOLO_FAILURES + 1):
        outcomes = await LoadBisector(divisible=True).write(sink.write, load(4))
        assert [isinstance(one, Down) and not one.reachable for one in outcomes] == [True] * 4
    assert set(sink.sizes) == {4}, "it is not asked for each of them"


async def test_where_nothing_lands_it_is_the_destination_at_first() -> None:
    halves, sink = LoadBisector(divisible=True), Sink(ValueError("no"), range(4))
    for _ in range(MAX_SOLO_FAILURES - 1):
        for one in await halves.write(sink.write, load(4)):
            assert isinstance(one, Down)
            assert (one.reachable, one.error, one.reason) == (True, "ValueError", "ValueError: no")
    outcomes = await halves.write(sink.write, load(4))
    assert set(outcomes) == {Retry("ValueError", "no")}, "no event waits for ever"


@pytest.mark.parametrize(
    ("divisible", "ordered"), [(False, False), (True, True)], ids=["positions", "ordered"]
)
async def test_what_must_stay_together_stays_together(divisible: bool, ordered: bool) -> None:
    sink = Sink(ValueError("no"), [1])
    made: Callable[..., LoadBisector] = LoadBisector
    outcomes = await made(divisible=divisible).write(sink.write, load(4, ordered=ordered))
    assert {type(one) for one in outcomes} == {Down}
    assert sink.sizes == [4]


async def test_a_sink_that_cancels_its_task_ends_no_other() -> None:
    async def write(load: Load) -> Sequence[Outcome]:
        task = asyncio.current_task()
        if task is not None and any(item.offset == 2 for item in load.items):
            task.cancel()
        return [DELIVERED] * len(load.items)

    outcomes = await LoadBisector(divisible=True).write(write, load(4))
    assert [one == DELIVERED for one in outcomes] == [True, True, False, True]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await asyncio.sleep(0)


async def test_a_load_that_is_cut_off_is_not_written_again() -> None:
    entered = asyncio.Event()

    async def write(load: Load) -> Sequence[Outcome]:
        entered.set()
        await asyncio.Event().wait()
        return []

    task = asyncio.ensure_future(LoadBisector(divisible=True).write(write, load(2)))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
