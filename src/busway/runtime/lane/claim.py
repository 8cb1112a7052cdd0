"""Claims: a retry notes in the ledger what it begins, so that an attempt counts that it dies in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.delivery.care import INTERRUPTED
from busway.delivery.settle import Problem, failed_again
from busway.flow import Flow
from busway.lane import Trouble, Verdict
from busway.runtime.hub import Hub

Place = tuple[int, int]


class Claims:
    """The attempts of one flow's retries that are under way."""

    def __init__(self, hub: Hub, flow: Flow) -> None:
        self._hub = hub
        self._flow = flow
        self._begun: dict[Place, Trouble] = {}

    async def begin(self, troubles: Sequence[Trouble]) -> Sequence[Trouble]:
        """Return what may be tried now, noted as begun; what was interrupted has failed.

        In an ordered flow nothing goes whose key has an event that cannot be tried now.
        """
        interrupted = [one for one in troubles if self._is_interrupted(one)]
        if interrupted:
            await self._hub.ledger.judge(self._failed(interrupted, troubles))
        now = self._hub.clock.now()
        claimed = [
            msgspec.structs.replace(one, begun_at=now) for one in _without(troubles, interrupted)
        ]
        # noted here first: it may have landed also where the ledger's answer is lost
        self._begun |= {_place(one): one for one in claimed}
        applied = await self._hub.ledger.judge([self._verdict(one) for one in claimed])
        lost = [one for one, done in zip(claimed, applied, strict=True) if not done]
        for one in lost:
            del self._begun[_place(one)]
        return _without(claimed, lost)

    async def judge(self, verdicts: Sequence[Verdict]) -> None:
        """Give verdicts on what was begun, and let go of the rest of it, in one transaction."""
        judged = {(one.partition, one.offset) for one in verdicts}
        left = [one for place, one in self._begun.items() if place not in judged]
        await self._hub.ledger.judge([*verdicts, *self._let_go(left)])
        self._begun.clear()

    async def end(self) -> None:
        """Let go of what was begun without a verdict: that was no attempt."""
        if self._begun:
            await self._hub.ledger.judge(self._let_go(list(self._begun.values())))
        self._begun.clear()

    def _let_go(self, left: Sequence[Trouble]) -> Sequence[Verdict]:
        return [self._verdict(msgspec.structs.replace(one, begun_at=None)) for one in left]

    def _is_interrupted(self, trouble: Trouble) -> bool:
        """Say whether another process began it, and did not come to an end with it."""
        return trouble.begun_at is not None and _place(trouble) not in self._begun

    def _failed(
        self, interrupted: Sequence[Trouble], troubles: Sequence[Trouble]
    ) -> Sequence[Verdict]:
        """Return verdicts on interrupted attempts: in an ordered flow the first of each key failed.

        The others of its key wait behind it, as they did, also where it was not interrupted itself:
        with a time of its own one of them would overtake it.
        """
        found = []
        first: dict[str | None, int] = {}
        for one in troubles:
            first[one.key] = min(one.offset, first.get(one.key, one.offset))
        for one in interrupted:
            if one.key is None or one.offset == first[one.key]:
                found.append(self._verdict(self._failed_once(one), one.attempts))
            else:
                found.append(self._verdict(msgspec.structs.replace(one, begun_at=None)))
        return found

    def _failed_once(self, trouble: Trouble) -> Trouble:
        final = self._flow.backoff.gives_up(INTERRUPTED.error, final=False)
        problem: Problem = msgspec.structs.replace(INTERRUPTED, final=final)
        became = failed_again(self._hub.terms(self._flow), trouble, problem)
        self._hub.observer.retried(trouble.flow, became.state)
        return became

    def _verdict(self, became: Trouble, attempts: int | None = None) -> Verdict:
        used = became.attempts if attempts is None else attempts
        place = (became.flow, became.partition, became.offset)
        by = (self._hub.clock.now(), self._flow.version)
        # of an event that was edited and redriven meanwhile nothing is known here
        return Verdict(*place, used, "parked", became, *by, event=became.event)


def _without(troubles: Sequence[Trouble], others: Sequence[Trouble]) -> Sequence[Trouble]:
    """Return the troubles without some, and without what has the key of one of those."""
    places = {_place(one) for one in others}
    keys = {one.key for one in others} - {None}
    return [one for one in troubles if _place(one) not in places and one.key not in keys]


def _place(trouble: Trouble) -> Place:
    return trouble.partition, trouble.offset
