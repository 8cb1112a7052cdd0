"""Make the stream of a log, or find it as it was made."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from busway.engine.jetstream.check import IDENTITY, check_stream
from busway.engine.jetstream.place import Place
from busway.engine.jetstream.stream import NAME_TAKEN, NOT_ENABLED, NOT_FOUND, Info, Refused, Stream
from busway.engine.jetstream.watch import republished
from busway.errors import Conflict, StoreDamaged, StoreError, StoreTooNew

FORMAT = 1
_ATOMIC_SINCE = (2, 12, 3)
"""2.12.0 refuses batches whose messages name those that they follow; 2.12.1 stops answering when
two of them race."""
_FORMAT = "busway.format"
_PARTITIONS = "busway.partitions"
_MOVING = "busway.moving"
_NO_PLACE = (10005, 10074)
_MOST_PARTITIONS = 1_000


class Prepared(msgspec.Struct, frozen=True):
    """A stream that is there, and what is kept with it."""

    info: Info
    identity: str
    partitions: int

    atomic: bool
    """Whether the messages of an append can be stored all or none."""
    moving: bool = False
    """Whether a move into it is unfinished."""


async def prepare(stream: Stream, partitions: int, max_bytes: int, identity: str = "") -> Prepared:
    """Make the stream, or check the one that is there and set its limit.

    With an ``identity`` it has to be there and to have that one: nothing is made or changed before
    that is known. Raises :class:`StoreDamaged` where it is not so, :class:`StoreTooNew` for one of
    a newer Busway, :class:`StoreError` for one that cannot hold a log and when the servers cannot
    be used now.
    """
    place = stream.link.place
    if identity:
        await _check_identity(stream, identity)
    info = await _found(stream, _config(stream, partitions, max_bytes))
    kept = _kept(place, info)
    check_stream(place, info)
    if (info.config.get("max_bytes") or -1) != (max_bytes or -1):
        info = await stream.update(info.config | {"max_bytes": max_bytes or -1})
    atomic = bool(info.config.get("allow_atomic")) and stream.link.version >= _ATOMIC_SINCE
    return Prepared(info, kept[IDENTITY], int(kept[_PARTITIONS]), atomic, _MOVING in kept)


async def adopt(stream: Stream, identity: str, partitions: int) -> None:
    """Make the stream, or take the one that is there and was never used, for a move into it.

    Raises :class:`Conflict` where another log is in it.
    """
    place = stream.link.place
    info = await _found(stream, _config(stream, partitions, 0))
    kept = _kept(place, info)
    check_stream(place, info)
    if kept[IDENTITY] == identity:
        return
    if info.state.last_seq:
        raise Conflict(used(place))
    kept |= {IDENTITY: identity, _PARTITIONS: str(partitions), _MOVING: "1"}
    await stream.update(info.config | {"metadata": kept})


async def open_up(stream: Stream) -> None:
    """Let the stream be opened as any other: all that was to be moved into it is there."""
    info = await stream.info()
    kept = _kept(stream.link.place, info)
    if kept.pop(_MOVING, None):
        await stream.update(info.config | {"metadata": kept})


async def standing(stream: Stream, identity: str | None) -> str:
    """Return why the log of that identity cannot be moved here, empty where it can."""
    try:
        info = await stream.info()
    except Refused as refused:
        if refused.fault.err_code == NOT_FOUND:
            return ""
        raise _explained(stream.link.place, refused) from refused
    kept = _kept(stream.link.place, info)
    fits = not info.state.last_seq or kept[IDENTITY] == identity
    return "" if fits else used(stream.link.place)


async def holds(stream: Stream, identity: str) -> bool:
    """Say whether the log of that identity is in the stream."""
    try:
        info = await stream.info()
    except Refused as refused:
        if refused.fault.err_code == NOT_FOUND:
            return False
        raise
    return _kept(stream.link.place, info)[IDENTITY] == identity


def used(place: Place) -> str:
    """Return what a person is told about a stream that cannot be moved into."""
    return f"{place} is used already, or belongs to another ledger; give the log another name"


async def _found(stream: Stream, wanted: dict[str, Any]) -> Info:
    """Return the stream, made as it is wanted where there is none."""
    try:
        return await _found_or_made(stream, wanted)
    except Refused as refused:
        raise _explained(stream.link.place, refused) from refused


async def _found_or_made(stream: Stream, wanted: dict[str, Any]) -> Info:
    try:
        return await stream.info()
    except Refused as refused:
        if refused.fault.err_code != NOT_FOUND:
            raise
    try:
        return await stream.create(wanted)
    except Refused as refused:
        if refused.fault.err_code != NAME_TAKEN:
            raise
        return await stream.info()  # somebody else made it just now


async def _check_identity(stream: Stream, identity: str) -> None:
    place, found = stream.link.place, "is not there"
    try:
        kept = _kept(place, await stream.info())
        found = f"is the log {kept[IDENTITY]}"
    except Refused as refused:
        if refused.fault.err_code != NOT_FOUND:
            raise _explained(place, refused) from refused
    else:
        if kept[IDENTITY] == identity:
            return
    raise StoreDamaged(
        f"{place} {found}, and this ledger belongs to the log {identity}; give the address of that"
        " one, or a ledger in a new database"
    )


def _config(stream: Stream, partitions: int, max_bytes: int) -> dict[str, Any]:
    link, place = stream.link, stream.link.place
    if not 1 <= partitions <= _MOST_PARTITIONS:
        raise StoreError(f"{place}: a log has 1 to {_MOST_PARTITIONS} partitions")
    config: dict[str, Any] = {
        "name": place.name,
        "description": "Log of Busway; written and trimmed by it only",
        "subjects": [f"{place.name}.*"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": place.replicas or (3 if link.clustered else 1),
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": max_bytes or -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "duplicate_window": int(place.window_s * 1e9),
        "allow_direct": True,
        "republish": republished(place.name),
        "metadata": {
            _FORMAT: str(FORMAT),
            IDENTITY: str(uuid.uuid4()),
            _PARTITIONS: str(partitions),
        },
    }
    return config | ({"allow_atomic": True} if link.version >= _ATOMIC_SINCE else {})


def _kept(place: Place, info: Info) -> dict[str, str]:
    kept: dict[str, str] = info.config.get("metadata") or {}
    if not {_FORMAT, IDENTITY, _PARTITIONS} <= kept.keys():
        raise StoreError(
            f"{place}: the stream {place.name!r} was not made by Busway; give the log another name"
        )
    if int(kept[_FORMAT]) > FORMAT:
        raise StoreTooNew(
            f"{place} has format {kept[_FORMAT]} and this Busway knows {FORMAT}; upgrade Busway"
        )
    return kept


def _explained(place: Place, refused: Refused) -> StoreError:
    if refused.fault.err_code in NOT_ENABLED:
        return StoreError(f"{place}: {refused.fault.description}; enable it on the servers")
    if refused.fault.err_code in _NO_PLACE:
        return StoreError(
            f"{place}: the log cannot get its replicas: {refused.fault.description};"
            " start the other servers, or ask for fewer (?replicas=1)"
        )
    return refused
