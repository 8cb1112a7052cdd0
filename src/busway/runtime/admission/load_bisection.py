"""A sink that raises: is it the destination, or one event of the load?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from busway.exception_text import exception_text
from busway.lane import EventRef
from busway.outcome import Delivered, Down, Outcome, Rejected, Retry
from busway.ports import Load
from busway.runtime.cancellation import is_cancellation

Write = Callable[[Load], Awaitable[Sequence[Outcome]]]

MAX_SOLO_FAILURES = 3
"""How often an event raises alone before it is to blame, where no other one lands meanwhile."""
_MAX = 10_000
_CONNECTION_ERROR_NAMES = re.compile(
    r"connect|time_?out|unavailab|unreach|network|transport|broken|closed|reset|endpoint",
    re.IGNORECASE,
)
"""How libraries call what a connection raises, where it is no ``OSError``."""


class LoadBisector:
    """Writes loads, and where that raises, their halves: what raises alone failed alone.

    That is ``Retry`` for an event where another one of the load landed, or after some tries;
    ``Down`` before that, and always where it is about the connection. A load that is not
    ``divisible`` (it has positions, or an order) is ``Down`` as a whole.
    """

    def __init__(self, *, divisible: bool) -> None:
        self._is_divisible = divisible
        self._solo_failures: dict[EventRef, int] = {}

    async def write(self, write: Write, load: Load) -> Sequence[Outcome]:
        """Return an outcome for each item of a load."""
        raised: set[int] = set()
        divisible = self._is_divisible and not load.ordered
        outcomes = list(await _write_bisected(write, load, raised, divisible=divisible))
        if not raised:
            return self._clear_failures(load, outcomes)
        landed = any(isinstance(one, Delivered | Rejected) for one in outcomes)
        for index, outcome in enumerate(outcomes):
            if index in raised and isinstance(outcome, Down):
                again = self._count_solo_failure(load.lane.event_ref(load.items[index].offset))
                outcomes[index] = _as_retry(outcome) if landed or again else outcome
        return outcomes

    def _clear_failures(self, load: Load, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        if self._solo_failures:
            for item in load.items:
                self._solo_failures.pop(load.lane.event_ref(item.offset), None)
        return outcomes

    def _count_solo_failure(self, ref: EventRef) -> bool:
        """Count that an event raised alone; return whether it has done so often enough."""
        tries = self._solo_failures.pop(ref, 0) + 1
        if tries < MAX_SOLO_FAILURES:
            self._solo_failures[ref] = tries
        if len(self._solo_failures) > _MAX:
            del self._solo_failures[next(iter(self._solo_failures))]
        return tries >= MAX_SOLO_FAILURES


async def _write_bisected(
    write: Write, load: Load, raised: set[int], *, divisible: bool, first: int = 0
) -> Sequence[Outcome]:
    """Write a load that begins at ``first`` of the whole one; note in ``raised`` what did alone."""
    count = len(load.items)
    try:
        return _check_count(load, await _write_in_task(write, load))
    except BaseException as error:
        if is_cancellation(error):
            raise
        connection = _is_connection_error(error)
        if count < 2 or not divisible or connection:
            if count == 1 and not connection:
                raised.add(first)
            return [_as_down(error, connection=connection)] * (count or 1)
    found: list[Outcome] = []
    for begin, end in ((0, count // 2), (count // 2, count)):
        half = replace(load, items=load.items[begin:end])
        found += await _write_bisected(write, half, raised, divisible=True, first=first + begin)
    return found


async def _write_in_task(write: Write, load: Load) -> Sequence[Outcome]:
    """Write in a task of its own: a sink that cancels the task it runs in ends nothing else."""
    found = await asyncio.create_task(_write_catching(write, load))
    if isinstance(found, BaseException):
        raise found
    return found


async def _write_catching(write: Write, load: Load) -> Sequence[Outcome] | BaseException:
    """Return what is raised too: a task that raises ``SystemExit`` ends the process."""
    try:
        return await write(load)
    except BaseException as error:
        if is_cancellation(error):
            raise
        return error


def _is_connection_error(error: BaseException) -> bool:
    names = (kind.__name__ for kind in type(error).__mro__)
    return isinstance(error, OSError | EOFError) or any(map(_CONNECTION_ERROR_NAMES.search, names))


def _as_down(error: BaseException, *, connection: bool) -> Down:
    text = exception_text(error)
    return Down(text.line) if connection else Down(text.line, reachable=True, error=text.name)


def _as_retry(outcome: Down) -> Retry:
    return Retry(outcome.error, outcome.reason.removeprefix(f"{outcome.error}: "))


def _check_count(load: Load, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    if load.items and len(outcomes) != len(load.items):
        raise ValueError(f"the sink gave {len(outcomes)} outcomes for {len(load.items)} items")
    return outcomes
