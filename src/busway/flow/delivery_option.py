"""Parsing of the delivery options of a flow: retry and breaker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from busway.delivery.backoff import Backoff, validated
from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.breaker_policy import validated as validated_breaker_policy
from busway.errors import SettingsError
from busway.flow.flow import Flow
from busway.ports import Sink


def parse_retry(given: object) -> Backoff:
    """Return the policy of ``retry=``: a :class:`Backoff`, or a list of the waits before retries.

    Raises :class:`SettingsError` for any other value.

    >>> parse_retry(["5s", "1m"]).max_attempts
    3
    """
    if given is None:
        return Backoff()
    if isinstance(given, list | tuple) and given:
        return validated(Backoff(schedule=tuple(given), jitter=0.0))
    if isinstance(given, Backoff):
        return validated(given)
    fix = "use a Backoff(attempts=…), or a list of waits like ['5s', '1m', '10m']"
    raise SettingsError(f"invalid value {given!r}: {fix}")


def parse_breaker(given: object) -> BreakerPolicy | None:
    """Return the policy of ``breaker=``: a :class:`BreakerPolicy`, a ratio, or ``False``.

    Returns ``None`` for ``None``. Raises :class:`SettingsError` for any other value.

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
        return validated_breaker_policy(given)
    fix = "use a BreakerPolicy(ratio=…), a ratio like 0.8, or False to open only on outages"
    raise SettingsError(f"invalid value {given!r}: {fix}")


def breaker_conflicts(flows: Sequence[Flow]) -> Iterator[tuple[Flow, str]]:
    """Yield the flows whose breaker policy differs from another flow's to the same destination."""
    first_flows: dict[Sink, Flow] = {}
    for flow in flows:
        if flow.breaker_policy is None:
            continue
        first = first_flows.setdefault(flow.sink, flow)
        if first.breaker_policy != flow.breaker_policy:
            yield (
                flow,
                f"flow {first.name!r} to this destination has a different policy; use the same",
            )
