"""Merging of a failure in a replay into the event's existing dead letter. Pure."""

from __future__ import annotations

import msgspec

from busway.delivery.settlement import kept_failures
from busway.failed_event import FailedEvent


def merge_replay_failure(dead_letter: FailedEvent, replayed: FailedEvent) -> FailedEvent:
    """Return a dead letter with the attempts that a replay of its flow made at its event.

    The dead letter keeps its event, which may have been edited. The failures of both are kept; the
    replay's are the latest.
    """
    return msgspec.structs.replace(
        dead_letter,
        since=max(dead_letter.since, replayed.since),
        attempts=dead_letter.attempts + replayed.attempts,
        failures=kept_failures((*dead_letter.failures, *replayed.failures)),
        error=replayed.error,
        fingerprint=replayed.fingerprint,
    )
