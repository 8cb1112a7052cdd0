"""Compile named limits, and what flows say of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from busway.concurrency import Concurrency, parse_concurrency
from busway.delivery.throttle import Rate
from busway.errors import SettingsError
from busway.flow.limit import CompiledLimit, Limit
from busway.spelling import nearest


def compile_limits(limits: Sequence[Limit], mistakes: list[str]) -> tuple[CompiledLimit, ...]:
    """Return the limits of an app; notes each mistake."""
    found: dict[str, CompiledLimit] = {}
    for limit in limits:
        wrong = [f"{limit.location}: limit {limit.name!r}: {what}" for what in _mistakes(limit)]
        if limit.name in found:
            wrong.append(
                f"{limit.location}: limit {limit.name!r}: there is another one of this name"
            )
        mistakes += wrong
        if not wrong:
            found[limit.name] = CompiledLimit(limit.name, _rate(limit), _concurrency(limit))
    return tuple(found.values())


def parse_limit_option(given: object, known: Sequence[Limit]) -> tuple[str, ...]:
    """Return the names of the limits that ``limit=`` gives, in order of names.

    Raises :class:`SettingsError` for what is no limit of the app.
    """
    listed = given if isinstance(given, list | tuple) else [given]
    names = {one.name for one in known}
    found = set()
    for one in listed:
        name = one.name if isinstance(one, Limit) else one
        if not isinstance(name, str):
            raise SettingsError(f"it is {one!r}; give what app.limit(…) returned, or its name")
        if name not in names or (isinstance(one, Limit) and one not in known):
            raise SettingsError(f"there is no limit {name!r} in this app; {_fix(name, names)}")
        found.add(name)
    return tuple(sorted(found))


def _fix(name: str, names: Collection[str]) -> str:
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near else f'declare it: app.limit("{name}", rate=…)'


def _mistakes(limit: Limit) -> list[str]:
    found = []
    if not isinstance(limit.name, str) or not limit.name:
        found.append('give it a name, like app.limit("crm", rate="10/s")')
    if limit.rate is None and limit.concurrency is None:
        found.append("it limits nothing; give rate=, concurrency= or both")
    for what, read in (("rate", _rate), ("concurrency", _concurrency)):
        try:
            read(limit)
        except SettingsError as error:
            found.append(f"{what}: {error}")
    return found


def _rate(limit: Limit) -> Rate | None:
    return None if limit.rate is None else Rate.parse(limit.rate)


def _concurrency(limit: Limit) -> Concurrency | None:
    return None if limit.concurrency is None else parse_concurrency(limit.concurrency)
