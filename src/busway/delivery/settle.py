"""Settlement: from what became of each event of a range to one transaction. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from busway.delivery.backoff import Backoff
from busway.delivery.fingerprint import Causes
from busway.event import Event, original
from busway.lane import Counts, Settlement, State, Trouble, flow_of
from busway.outcome import Failure


class Problem(msgspec.Struct, frozen=True):
    """Why an event did not land: where, what, and whether trying again may help.

    One that is not ``counted`` uses no attempt up.
    """

    stage: Literal["rule", "step", "sink"]
    error: str
    reason: str
    traceback: str | None = None
    final: bool = False
    after_s: float | None = None
    took_ms: float | None = None
    counted: bool = True


class Held(msgspec.Struct, frozen=True):
    """It waits behind an earlier event of its key; no attempt was made."""


LONGEST_ERROR = 200
LONGEST_TEXT = 4_000
LONGEST_TRACEBACK = 20_000
"""How many characters of a failure's name, reason and traceback are kept."""

Fate = Literal["delivered", "filtered"] | Problem | Held


class Terms(msgspec.Struct, frozen=True):
    """What settling depends on beside the fates: flow, policy, time and chance.

    ``chance`` is a random number from 0 up to 1, for jitter, ``causes`` gives fingerprints.
    """

    flow: str
    version: str
    backoff: Backoff
    ordered: bool
    at: datetime
    chance: float
    causes: Causes = msgspec.field(default_factory=Causes)


class Decided(msgspec.Struct, frozen=True):
    """An event and its fate; an event of the range without one is filtered."""

    offset: int
    event: Event
    fate: Fate


def settlement(
    terms: Terms,
    place: tuple[int, int, int],
    decided: Sequence[Decided],
    parked_keys: Mapping[str, int],
    landed: int = 0,
) -> Settlement:
    """Return the settlement of ``place`` (partition, start, end).

    ``decided`` is in order of offsets; ``parked_keys`` says, for an ordered flow, which keys have
    parked events already: a parked event with none of its key before it is due on its own.
    ``landed`` is how many more events of the range were delivered.
    """
    partition, start, end = place
    waiting = Counter(parked_keys)
    troubles: list[Trouble] = []
    delivered = landed
    for one in decided:
        if one.fate == "delivered":
            delivered += 1
        elif not isinstance(one.fate, str):
            found = _first_trouble(terms, partition, one, waiting)
            troubles.append(found)
            if found.key is not None and found.state == "parked":
                waiting[found.key] += 1
    parked = sum(1 for trouble in troubles if trouble.state == "parked")
    filtered = end - start - delivered - len(troubles)
    counts = Counts(delivered, filtered, parked, len(troubles) - parked)
    return Settlement(
        terms.flow, partition, start, end, terms.at, terms.version, counts, tuple(troubles)
    )


def _first_trouble(
    terms: Terms, partition: int, one: Decided, waiting: Mapping[str, int]
) -> Trouble:
    key = one.event.key if terms.ordered else None
    fresh = Trouble(
        terms.flow,
        partition,
        one.offset,
        original(one.event),
        one.event.id,
        "parked",
        terms.at,
        attempts=0,
        due=terms.at,
        key=key,
        event_key=one.event.key,
    )
    if isinstance(one.fate, Problem):
        fresh = failed_again(terms, fresh, one.fate)
    behind = key is not None and waiting.get(key, 0) > 0
    return msgspec.structs.replace(fresh, due=None) if behind else fresh


def failed_again(terms: Terms, trouble: Trouble, problem: Problem) -> Trouble:
    """Return a trouble after one more failed attempt: parked until it is due, or dead."""
    attempts = trouble.attempts + 1
    failure = Failure(
        attempts,
        terms.at,
        problem.stage,
        storable(problem.error, LONGEST_ERROR),
        storable(problem.reason, LONGEST_TEXT),
        None if problem.traceback is None else storable(problem.traceback, LONGEST_TRACEBACK),
        terms.version,
        problem.took_ms,
        problem.counted,
    )
    failures = kept_failures((*trouble.failures, failure))
    age = terms.at - _first(failures).at
    dead = problem.final or terms.backoff.exhausted(attempts if problem.counted else 0, age)
    after = (attempts, terms.chance, problem.after_s, age)
    due = None if dead else terms.backoff.due(terms.at, *after)
    state: State = "dead" if dead else "parked"
    return msgspec.structs.replace(
        trouble,
        state=state,
        since=terms.at if state != trouble.state else trouble.since,
        attempts=attempts if problem.counted or dead else trouble.attempts,
        due=due,
        failures=failures,
        error=failure.error,
        fingerprint=terms.causes.of(flow_of(terms.flow), failure),
        begun_at=None,
    )


def storable(text: str, longest: int) -> str:
    r"""Return a text as every ledger can hold it: not too long, in UTF-8, and without NUL.

    >>> storable("half a pair: \ud83d, NUL: \0, and much more", 24)
    'half a pair: \\ud83d, NU…'
    """
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    text = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def kept_failures(failures: Sequence[Failure], most: int = 20) -> tuple[Failure, ...]:
    """Return the failures worth keeping: the first since all attempts began anew, and the last."""
    if len(failures) <= most:
        return tuple(failures)
    last = failures[1 - most :]
    first = _first(failures)
    return (failures[0] if first in last else first, *last)


def _first(failures: Sequence[Failure]) -> Failure:
    """Return the first failure since all attempts began anew."""
    found = next((n for n in range(len(failures) - 1, 0, -1) if failures[n].attempt == 1), 0)
    while found and failures[found - 1].attempt == 1 and not failures[found - 1].counted:
        found -= 1
    return failures[found]
