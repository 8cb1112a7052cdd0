"""Opening of the declared request sources, each at its address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from busway.ports import RequestSource, Source, source_address
from busway.source.cloudevents import CloudEvents
from busway.source.http import SourceRoute
from busway.source.http.route import SourceObserver, UnobservedSource


def _unobserved(name: str) -> SourceObserver:
    return UnobservedSource()


class Declared(Protocol):
    """The declared sources, and whether ``/events`` is one of them."""

    @property
    def sources(self) -> Sequence[Source]: ...

    @property
    def takes_events(self) -> bool: ...


class EventsOnly:
    """The default if no sources are declared."""

    sources: Sequence[Source] = ()
    takes_events = True


def mounted(
    declared: Declared,
    max_event_bytes: int,
    observer: Callable[[str], SourceObserver] = _unobserved,
) -> Sequence[SourceRoute]:
    """Return the routes of the request sources, including ``/events`` if it is enabled.

    ``observer`` returns the observer of a source by its name. Raises
    :class:`busway.errors.SourceError` for a source that can never work.
    """
    requests = [source for source in declared.sources if isinstance(source, RequestSource)]
    if declared.takes_events:
        requests.insert(0, CloudEvents())
    return [
        SourceRoute(
            source_address(source.name),
            source.open_receiver(max_event_bytes),
            tuple(source.methods),
            observer(source.name),
        )
        for source in requests
    ]
