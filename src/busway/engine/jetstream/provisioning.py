"""Make the stream of a log, or find it as it was made."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.log_watcher import republish_config
from busway.engine.jetstream.server_check import IDENTITY_KEY, check_stream
from busway.engine.jetstream.stream import (
    JETSTREAM_NOT_ENABLED_ERRORS,
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    LogStream,
    RequestRefused,
    StreamInfo,
)
from busway.errors import Conflict, StoreCorrupted, StoreError, StoreTooNew, StoreTooOld

FORMAT_VERSION = 2
_ATOMIC_SINCE = (2, 12, 3)
"""2.12.0 refuses batches whose messages name those that they follow; 2.12.1 stops answering when
two of them race."""
_FORMAT_KEY = "busway.format"
_PARTITIONS_KEY = "busway.partitions"
_MOVING_KEY = "busway.move-unfinished"
_NO_REPLICAS_ERRORS = (10005, 10074)
_MAX_PARTITIONS = 1_000


class ProvisionedStream(msgspec.Struct, frozen=True):
    """A stream that is there, and what is kept with it."""

    info: StreamInfo
    identity: str
    partitions: int

    atomic: bool
    """Whether the messages of an append can be stored all or none."""
    is_move_unfinished: bool = False
    """Whether a move into it is unfinished."""


async def provision(
    stream: LogStream, partitions: int, max_bytes: int, identity: str = ""
) -> ProvisionedStream:
    """Make the stream, or check the one that is there and set its limit.

    With an ``identity`` it has to be there and to have that one: nothing is made or changed before
    that is known. Raises :class:`StoreCorrupted` where it is not so, :class:`StoreTooNew` or
    :class:`StoreTooOld` for one of another Busway, :class:`StoreError` for one that cannot hold a
    log and when the servers cannot be used now.
    """
    place = stream.connection.address
    if identity:
        await _check_identity(stream, identity)
    info = await _get_or_create(stream, _stream_config(stream, partitions, max_bytes))
    kept = _metadata(place, info)
    check_stream(place, info)
    if (info.config.get("max_bytes") or -1) != (max_bytes or -1):
        info = await stream.update(info.config | {"max_bytes": max_bytes or -1})
    atomic = bool(info.config.get("allow_atomic")) and stream.connection.version >= _ATOMIC_SINCE
    return ProvisionedStream(
        info, kept[IDENTITY_KEY], int(kept[_PARTITIONS_KEY]), atomic, _MOVING_KEY in kept
    )


async def adopt(stream: LogStream, identity: str, partitions: int) -> None:
    """Make the stream, or take the one that is there and was never used, for a move into it.

    Raises :class:`Conflict` where another log is in it.
    """
    place = stream.connection.address
    info = await _get_or_create(stream, _stream_config(stream, partitions, 0))
    kept = _metadata(place, info)
    check_stream(place, info)
    if kept[IDENTITY_KEY] == identity:
        return
    if info.state.last_seq:
        raise Conflict(in_use_message(place))
    kept |= {IDENTITY_KEY: identity, _PARTITIONS_KEY: str(partitions), _MOVING_KEY: "1"}
    await stream.update(info.config | {"metadata": kept})


async def finish_move(stream: LogStream) -> None:
    """Let the stream be opened as any other: all that was to be moved into it is there."""
    info = await stream.info()
    kept = _metadata(stream.connection.address, info)
    if kept.pop(_MOVING_KEY, None):
        await stream.update(info.config | {"metadata": kept})


async def reason_against_move(stream: LogStream, identity: str | None) -> str:
    """Return why the log of that identity cannot be moved here, empty where it can."""
    try:
        info = await stream.info()
    except RequestRefused as refused:
        if refused.error.err_code == STREAM_NOT_FOUND:
            return ""
        raise _explain_refusal(stream.connection.address, refused) from refused
    kept = _metadata(stream.connection.address, info)
    fits = not info.state.last_seq or kept[IDENTITY_KEY] == identity
    return "" if fits else in_use_message(stream.connection.address)


async def holds_log(stream: LogStream, identity: str) -> bool:
    """Say whether the log of that identity is in the stream."""
    try:
        info = await stream.info()
    except RequestRefused as refused:
        if refused.error.err_code == STREAM_NOT_FOUND:
            return False
        raise
    return _metadata(stream.connection.address, info)[IDENTITY_KEY] == identity


def in_use_message(address: JetStreamAddress) -> str:
    """Return what a person is told about a stream that cannot be moved into."""
    return f"{address} is used already, or belongs to another ledger; give the log another name"


async def _get_or_create(stream: LogStream, config: dict[str, Any]) -> StreamInfo:
    """Return the stream, made as it is wanted where there is none."""
    try:
        return await _find_or_create(stream, config)
    except RequestRefused as refused:
        raise _explain_refusal(stream.connection.address, refused) from refused


async def _find_or_create(stream: LogStream, config: dict[str, Any]) -> StreamInfo:
    try:
        return await stream.info()
    except RequestRefused as refused:
        if refused.error.err_code != STREAM_NOT_FOUND:
            raise
    try:
        return await stream.create(config)
    except RequestRefused as refused:
        if refused.error.err_code != STREAM_NAME_IN_USE:
            raise
        return await stream.info()  # somebody else made it just now


async def _check_identity(stream: LogStream, identity: str) -> None:
    place, found = stream.connection.address, "is not there"
    try:
        kept = _metadata(place, await stream.info())
        found = f"is the log {kept[IDENTITY_KEY]}"
    except RequestRefused as refused:
        if refused.error.err_code != STREAM_NOT_FOUND:
            raise _explain_refusal(place, refused) from refused
    else:
        if kept[IDENTITY_KEY] == identity:
            return
    raise StoreCorrupted(
        f"{place} {found}, and this ledger belongs to the log {identity}; give the address of that"
        " one, or a ledger in a new database"
    )


def _stream_config(stream: LogStream, partitions: int, max_bytes: int) -> dict[str, Any]:
    link, place = stream.connection, stream.connection.address
    if not 1 <= partitions <= _MAX_PARTITIONS:
        raise StoreError(f"{place}: a log has 1 to {_MAX_PARTITIONS} partitions")
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
        "duplicate_window": int(place.duplicate_window_s * 1e9),
        "allow_direct": True,
        "republish": republish_config(place.name),
        "metadata": {
            _FORMAT_KEY: str(FORMAT_VERSION),
            IDENTITY_KEY: str(uuid.uuid4()),
            _PARTITIONS_KEY: str(partitions),
        },
    }
    return config | ({"allow_atomic": True} if link.version >= _ATOMIC_SINCE else {})


def _metadata(address: JetStreamAddress, info: StreamInfo) -> dict[str, str]:
    kept: dict[str, str] = info.config.get("metadata") or {}
    if not {_FORMAT_KEY, IDENTITY_KEY, _PARTITIONS_KEY} <= kept.keys():
        raise StoreError(
            f"{address}: the stream {address.name!r} was not made by Busway; give the log"
            " another name"
        )
    _check_format(address, int(kept[_FORMAT_KEY]))
    return kept


def _check_format(address: JetStreamAddress, version: int) -> None:
    versions = f"{address} has format {version} and this Busway reads format {FORMAT_VERSION}"
    if version > FORMAT_VERSION:
        raise StoreTooNew(f"{versions}; upgrade Busway")
    if version < FORMAT_VERSION:
        raise StoreTooOld(
            f"{versions}; give the log another name, with a ledger in a new database, and let the"
            " Busway that wrote this one deliver what is left in it"
        )


def _explain_refusal(address: JetStreamAddress, refused: RequestRefused) -> StoreError:
    if refused.error.err_code in JETSTREAM_NOT_ENABLED_ERRORS:
        return StoreError(f"{address}: {refused.error.description}; enable it on the servers")
    if refused.error.err_code in _NO_REPLICAS_ERRORS:
        return StoreError(
            f"{address}: the log cannot get its replicas: {refused.error.description};"
            " start the other servers, or ask for fewer (?replicas=1)"
        )
    return refused
