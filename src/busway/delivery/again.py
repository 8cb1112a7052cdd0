"""An event that failed again in a replay: its first dead letter, brought up to date. Pure."""

from __future__ import annotations

import msgspec

from busway.delivery.settle import kept_failures
from busway.lane import Trouble


def failed_again_elsewhere(first: Trouble, again: Trouble) -> Trouble:
    """Return a dead letter with the attempts that another lane of its flow made at its event.

    Its event stays as it is (somebody may have edited it), the failures of both are kept, and the
    last failure is the other lane's.
    """
    return msgspec.structs.replace(
        first,
        since=max(first.since, again.since),
        attempts=first.attempts + again.attempts,
        failures=kept_failures((*first.failures, *again.failures)),
        error=again.error,
        fingerprint=again.fingerprint,
    )
