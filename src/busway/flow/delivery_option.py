"""The options of a flow about its delivery, as people give them: retry, rate, breaker, limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from busway.delivery.backoff import Backoff, validated
from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.breaker_policy import validated as checked_trip
from busway.errors import SettingsError
from busway.flow.flow import Flow
from busway.ports import Sink


def parse_retry(given: object) -> Backoff:
    """Return the policy of ``retry=``: a :class:`Backoff`, or a list of waits, one an attempt more.

    Raises :class:`SettingsError` for anything else.

    >>> parse_retry(["5s", "1m"]).max_attempts
    3
    """
    if given is None:
        return Backoff()
    if isinstance(given, list | tuple) and given:
        return validated(Backoff(schedule=tuple(given), jitter=0.0))
    if isinstance(given, Backoff):
        return validated(given)
    advice = "give a Backoff(attempts=…), or a list of waits like ['5s', '1m', '10m']"
    raise SettingsError(f"it is {given!r}; {advice}")


def parse_breaker(given: object) -> BreakerPolicy | None:
    """Return the policy of ``breaker=``: a :class:`BreakerPolicy`, a ratio, or ``False`` for none.

    ``None`` where nothing is said. Raises :class:`SettingsError` for anything else.

    >>> parse_breaker(0.8).ratio
    0.8
    """
    if given is None:
        return None
    if given is False:
        return BreakerPolicy(ratio=None)
    if isinstance(given, int | float) and given is not True:
        given = BreakerPolicy(ratio=given)
    if isinstance(given, BreakerPolicy):
        return checked_trip(given)
    advice = (
        "give a BreakerPolicy(ratio=…), a ratio like 0.8, or False to open only when it is down"
    )
    raise SettingsError(f"it is {given!r}; {advice}")


def breaker_conflicts(flows: Sequence[Flow]) -> Iterator[tuple[Flow, str]]:
    """Yield the flows that say otherwise than another when their common breaker opens."""
    said: dict[Sink, Flow] = {}
    for flow in flows:
        if flow.breaker_policy is None:
            continue
        first = said.setdefault(flow.sink, flow)
        if first.breaker_policy != flow.breaker_policy:
            yield (
                flow,
                f"flow {first.name!r} has another one for this destination; give both the same",
            )
