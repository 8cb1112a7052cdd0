"""An event that failed again in a replay: its first dead letter, brought up to date. Pure."""

from __future__ import annotations

import msgspec

from busway.delivery.settlement import kept_failures
from busway.failed_event import FailedEvent


def merge_replay_failure(dead_letter: FailedEvent, replayed: FailedEvent) -> FailedEvent:
    """Return a dead letter with the attempts that another lane of its flow made at its event.

    Its event stays as it is (somebody may have edited it), the failures of both are kept, and the
    last failure is the other lane's.
    """
    return msgspec.structs.replace(
        dead_letter,
        since=max(dead_letter.since, replayed.since),
        attempts=dead_letter.attempts + replayed.attempts,
        failures=kept_failures((*dead_letter.failures, *replayed.failures)),
        error=replayed.error,
        fingerprint=replayed.fingerprint,
    )
