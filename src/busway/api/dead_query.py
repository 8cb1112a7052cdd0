"""What a request says about which dead letters it means."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from busway.control.dead_letter.selection import DeadLetterSelection
from busway.errors import BuswayError
from busway.failed_event import FailedEventState

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Asked(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Dead letters (or ``parked`` events) that are all of what is given.

    ``since`` (inclusive) and ``until`` (exclusive) are about when it became one, ``where`` are
    conditions on the event like ``data.customer.id=42``, all of which must hold.
    """

    state: FailedEventState = "dead"
    flow: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    key: str | None = None
    id: str | None = None
    since: Time | None = None
    until: Time | None = None
    where: tuple[str, ...] = ()

    def selection(self) -> DeadLetterSelection:
        """Return it as the selection that it means. Raises :class:`BuswayError` for a bad where."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if name != "id"}
        found = DeadLetterSelection(event_id=self.id, **given)
        found.check()
        return found


class Failed(msgspec.Struct, frozen=True):
    """What is asked of the failure; without a ``state`` it is that of whoever answers."""

    state: FailedEventState | None
    flow: str | None
    error: str | None
    fingerprint: str | None


class _About(msgspec.Struct, frozen=True):
    key: str | None
    id: str | None
    since: Time | None
    until: Time | None
    where: tuple[str, ...]


def failed(
    standing: Annotated[
        FailedEventState | None, QueryParameter(name="state", description="`dead`, or `parked`.")
    ] = None,
    flow: Annotated[str | None, QueryParameter(description="Of this flow.")] = None,
    error: Annotated[
        str | None, QueryParameter(description="Whose last error is this class.")
    ] = None,
    fingerprint: Annotated[str | None, QueryParameter(description="Of this root cause.")] = None,
) -> Failed:
    return Failed(standing, flow, error, fingerprint)


def about(
    key: Annotated[str | None, QueryParameter(description="Of events with this key.")] = None,
    id: Annotated[str | None, QueryParameter(description="Of the event with this id.")] = None,
    since: Annotated[
        str | None, QueryParameter(description="Failed at this time or later.")
    ] = None,
    until: Annotated[str | None, QueryParameter(description="Failed before this time.")] = None,
    where: Annotated[
        list[str] | None,
        QueryParameter(
            description="Whose event has this, like `data.customer.id=42`; all of several."
        ),
    ] = None,
) -> _About:
    return _About(key, id, _time("since", since), _time("until", until), tuple(where or ()))


def selection(
    failed: NamedDependency[Failed], about: NamedDependency[_About]
) -> DeadLetterSelection:
    """Return what the query parameters ask for."""
    parts = msgspec.structs.asdict(failed) | msgspec.structs.asdict(about)
    parts["state"] = failed.state or "dead"
    return Asked(**parts).selection()


DEPENDENCIES = {
    "failed": Provide(failed, sync_to_thread=False),
    "about": Provide(about, sync_to_thread=False),
    "selection": Provide(selection, sync_to_thread=False),
}
"""What a handler with a ``selection`` has to be given."""


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found: datetime = msgspec.convert(text, Time)
    except msgspec.ValidationError as error:
        raise BuswayError(f"{name}: {text!r} is no time; write 2026-03-01T12:00:00Z") from error
    return found
