"""Claims: a retry records in the ledger which events it starts, so that a crash uses an attempt."""

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
    """The attempts in progress of one flow's retries."""

    def __init__(self, context: Context, flow: Flow) -> None:
        self._context = context
        self._flow = flow
        self._claimed: dict[EventRef, FailedEvent] = {}

    async def claim(self, failed_events: Sequence[FailedEvent]) -> Sequence[FailedEvent]:
        """Return the events that may be tried now, claimed; interrupted attempts have failed.

        In an ordered flow, an event whose key has an event that cannot be tried now is left out.
        """
        interrupted = [event for event in failed_events if self._is_interrupted(event)]
        if interrupted:
            await self._context.ledger.resolve(self._fail_interrupted(interrupted, failed_events))
        now = self._context.clock.now()
        claimed = [
            msgspec.structs.replace(event, attempt_started_at=now)
            for event in _without(failed_events, interrupted)
        ]
        # recorded here first: the ledger may apply a claim although its answer is lost
        self._claimed |= {event.ref: event for event in claimed}
        applied = await self._context.ledger.resolve([self._resolution(event) for event in claimed])
        refused = [event for event, done in zip(claimed, applied, strict=True) if not done]
        for event in refused:
            del self._claimed[event.ref]
        return _without(claimed, refused)

    async def resolve(self, resolutions: Sequence[Resolution]) -> None:
        """Resolve claimed events, and release the other claims, in one transaction."""
        resolved = {resolution.ref for resolution in resolutions}
        unresolved = [event for ref, event in self._claimed.items() if ref not in resolved]
        await self._context.ledger.resolve([*resolutions, *self._unclaim(unresolved)])
        self._claimed.clear()

    async def release(self) -> None:
        """Release all claims; they use up no attempt."""
        if self._claimed:
            await self._context.ledger.resolve(self._unclaim(list(self._claimed.values())))
        self._claimed.clear()

    def _unclaim(self, events: Sequence[FailedEvent]) -> Sequence[Resolution]:
        return [
            self._resolution(msgspec.structs.replace(event, attempt_started_at=None))
            for event in events
        ]

    def _is_interrupted(self, failed_event: FailedEvent) -> bool:
        """Return whether another process claimed it, and neither resolved nor released it."""
        return failed_event.attempt_started_at is not None and failed_event.ref not in self._claimed

    def _fail_interrupted(
        self, interrupted: Sequence[FailedEvent], failed_events: Sequence[FailedEvent]
    ) -> Sequence[Resolution]:
        """Return the resolutions of interrupted attempts; of a key, only the first event failed.

        The other events of the key go on waiting behind it, even if it was not interrupted itself:
        with a due time of their own they would overtake it.
        """
        resolutions = []
        first: dict[str | None, int] = {}
        for event in failed_events:
            first[event.key] = min(event.offset, first.get(event.key, event.offset))
        for event in interrupted:
            if event.key is None or event.offset == first[event.key]:
                resolutions.append(self._resolution(self._failed_once(event), event.attempts))
            else:
                resolutions += self._unclaim([event])
        return resolutions

    def _failed_once(self, failed_event: FailedEvent) -> FailedEvent:
        final = self._flow.backoff.is_final(INTERRUPTED.error, by_default=False)
        attempt: FailedAttempt = msgspec.structs.replace(INTERRUPTED, final=final)
        failed = record_failure(self._context.settlement_context(self._flow), failed_event, attempt)
        self._context.observer.retried(failed_event.flow, failed.state)
        return failed

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
    """Return the events without ``others``, and without other events of their keys."""
    refs = {event.ref for event in others}
    keys = {event.key for event in others} - {None}
    return [event for event in failed_events if event.ref not in refs and event.key not in keys]
