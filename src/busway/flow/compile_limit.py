"""The compiler of named limits, and of the ``limit`` option of flows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from busway.concurrency import Concurrency, parse_concurrency
from busway.delivery.rate import Rate
from busway.errors import SettingsError
from busway.flow.limit import CompiledLimit, Limit
from busway.spelling import nearest


def compile_limits(limits: Sequence[Limit], mistakes: list[str]) -> tuple[CompiledLimit, ...]:
    """Return the compiled limits of an app; appends to ``mistakes``."""
    compiled: dict[str, CompiledLimit] = {}
    for limit in limits:
        limit_mistakes = [
            f"{limit.location}: limit {limit.name!r}: {what}" for what in _mistakes(limit)
        ]
        if limit.name in compiled:
            limit_mistakes.append(
                f"{limit.location}: limit {limit.name!r}: another limit has the same name"
            )
        mistakes += limit_mistakes
        if not limit_mistakes:
            compiled[limit.name] = CompiledLimit(limit.name, _rate(limit), _concurrency(limit))
    return tuple(compiled.values())


def parse_limit_option(given: object, known: Sequence[Limit]) -> tuple[str, ...]:
    """Return the names of the limits in the option ``limit=``, sorted.

    Raises :class:`SettingsError` for anything but limits of the app.
    """
    items = given if isinstance(given, list | tuple) else [given]
    names = {limit.name for limit in known}
    selected = set()
    for item in items:
        name = item.name if isinstance(item, Limit) else item
        if not isinstance(name, str):
            fix = "use the result of app.limit(…), or its name"
            raise SettingsError(f"invalid value {item!r}: {fix}")
        if name not in names or (isinstance(item, Limit) and item not in known):
            raise SettingsError(f"unknown limit {name!r}: {_fix(name, names)}")
        selected.add(name)
    return tuple(sorted(selected))


def _fix(name: str, names: Collection[str]) -> str:
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near else f'declare it with app.limit("{name}", rate=…)'


def _mistakes(limit: Limit) -> list[str]:
    mistakes = []
    if not isinstance(limit.name, str) or not limit.name:
        mistakes.append('it needs a name, like app.limit("crm", rate="10/s")')
    if limit.rate is None and limit.concurrency is None:
        mistakes.append("it limits nothing; add rate=, concurrency= or both")
    for option, parse in (("rate", _rate), ("concurrency", _concurrency)):
        try:
            parse(limit)
        except SettingsError as error:
            mistakes.append(f"{option}: {error}")
    return mistakes


def _rate(limit: Limit) -> Rate | None:
    return None if limit.rate is None else Rate.parse(limit.rate)


def _concurrency(limit: Limit) -> Concurrency | None:
    return None if limit.concurrency is None else parse_concurrency(limit.concurrency)
