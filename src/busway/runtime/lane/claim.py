"""Claims: a retry notes in the ledger what it begins, so that an attempt counts that it dies in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.delivery.poison import INTERRUPTED
from busway.delivery.settlement import FailedAttempt, record_failure
from busway.failed_event import FailedEvent, Resolution
from busway.flow import Flow
from busway.lane import EventRef
from busway.runtime.context import Context


class RetryClaims:
    """The attempts of one flow's retries that are under way."""

    def __init__(self, context: Context, flow: Flow) -> None:
        self._context = context
        self._flow = flow
        self._claimed: dict[EventRef, FailedEvent] = {}

    async def claim(self, failed_events: Sequence[FailedEvent]) -> Sequence[FailedEvent]:
        """Return what may be tried now, noted as begun; what was interrupted has failed.

        In an ordered flow nothing goes whose key has an event that cannot be tried now.
        """
        interrupted = [one for one in failed_events if self._is_interrupted(one)]
        if interrupted:
            await self._context.ledger.resolve(self._fail_interrupted(interrupted, failed_events))
        now = self._context.clock.now()
        claimed = [
            msgspec.structs.replace(one, attempt_started_at=now)
            for one in _without(failed_events, interrupted)
        ]
        # noted here first: it may have landed also where the ledger's answer is lost
        self._claimed |= {one.ref: one for one in claimed}
        applied = await self._context.ledger.resolve([self._resolution(one) for one in claimed])
        lost = [one for one, done in zip(claimed, applied, strict=True) if not done]
        for one in lost:
            del self._claimed[one.ref]
        return _without(claimed, lost)

    async def resolve(self, resolutions: Sequence[Resolution]) -> None:
        """Give resolutions on what was begun, and let go of the rest of it, in one transaction."""
        resolved = {resolution.ref for resolution in resolutions}
        left = [one for ref, one in self._claimed.items() if ref not in resolved]
        await self._context.ledger.resolve([*resolutions, *self._unclaim(left)])
        self._claimed.clear()

    async def release(self) -> None:
        """Let go of what was begun without a resolution: that was no attempt."""
        if self._claimed:
            await self._context.ledger.resolve(self._unclaim(list(self._claimed.values())))
        self._claimed.clear()

    def _unclaim(self, left: Sequence[FailedEvent]) -> Sequence[Resolution]:
        return [
            self._resolution(msgspec.structs.replace(one, attempt_started_at=None)) for one in left
        ]

    def _is_interrupted(self, failed_event: FailedEvent) -> bool:
        """Say whether another process began it, and did not come to an end with it."""
        return failed_event.attempt_started_at is not None and failed_event.ref not in self._claimed

    def _fail_interrupted(
        self, interrupted: Sequence[FailedEvent], failed_events: Sequence[FailedEvent]
    ) -> Sequence[Resolution]:
        """Return resolutions on interrupted attempts: in an ordered flow the first of each key
        failed.

        The others of its key wait behind it, as they did, also where it was not interrupted itself:
        with a time of its own one of them would overtake it.
        """
        found = []
        first: dict[str | None, int] = {}
        for one in failed_events:
            first[one.key] = min(one.offset, first.get(one.key, one.offset))
        for one in interrupted:
            if one.key is None or one.offset == first[one.key]:
                found.append(self._resolution(self._failed_once(one), one.attempts))
            else:
                found.append(
                    self._resolution(msgspec.structs.replace(one, attempt_started_at=None))
                )
        return found

    def _failed_once(self, failed_event: FailedEvent) -> FailedEvent:
        final = self._flow.backoff.is_final(INTERRUPTED.error, by_default=False)
        problem: FailedAttempt = msgspec.structs.replace(INTERRUPTED, final=final)
        became = record_failure(self._context.settlement_context(self._flow), failed_event, problem)
        self._context.observer.retried(failed_event.flow, became.state)
        return became

    def _resolution(self, replacement: FailedEvent, attempts: int | None = None) -> Resolution:
        used = replacement.attempts if attempts is None else attempts
        return Resolution(
            *replacement.ref,
            used,
            "parked",
            replacement,
            self._context.clock.now(),
            self._flow.version,
            event=replacement.event,  # refuses an event that was edited and redriven meanwhile
        )


def _without(
    failed_events: Sequence[FailedEvent], others: Sequence[FailedEvent]
) -> Sequence[FailedEvent]:
    """Return the troubles without some, and without what has the key of one of those."""
    places = {one.ref for one in others}
    keys = {one.key for one in others} - {None}
    return [one for one in failed_events if one.ref not in places and one.key not in keys]
