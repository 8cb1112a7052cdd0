"""Create the stream of a log, or check the existing one."""

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
"""2.12.0 refuses atomic batches with expected sequences; 2.12.1 stops responding if two of them
race."""
_FORMAT_KEY = "busway.format"
_PARTITIONS_KEY = "busway.partitions"
_MOVING_KEY = "busway.move-unfinished"
_NO_REPLICAS_ERRORS = (10005, 10074)
_MAX_PARTITIONS = 1_000


class ProvisionedStream(msgspec.Struct, frozen=True):
    """An existing stream and its metadata."""

    info: StreamInfo
    identity: str
    partitions: int

    atomic: bool
    """Whether the servers can store the messages of an append all or none."""
    is_move_unfinished: bool = False
    """Whether a move into it is unfinished."""


async def provision(
    stream: LogStream, partitions: int, max_bytes: int, identity: str = ""
) -> ProvisionedStream:
    """Create the stream, or check the existing one and set its limit.

    With an ``identity`` the stream must exist and have it: nothing is created or changed before
    that is known. Raises :class:`StoreCorrupted` if it has not, :class:`StoreTooNew` or
    :class:`StoreTooOld` for a stream of another Busway, and :class:`StoreError` for a stream that
    cannot hold a log and if the servers cannot be used now.
    """
    address = stream.connection.address
    if identity:
        await _check_identity(stream, identity)
    info = await _get_or_create(stream, _stream_config(stream, partitions, max_bytes))
    metadata = _metadata(address, info)
    check_stream(address, info)
    if (info.config.get("max_bytes") or -1) != (max_bytes or -1):
        info = await stream.update(info.config | {"max_bytes": max_bytes or -1})
    atomic = bool(info.config.get("allow_atomic")) and stream.connection.version >= _ATOMIC_SINCE
    return ProvisionedStream(
        info,
        metadata[IDENTITY_KEY],
        int(metadata[_PARTITIONS_KEY]),
        atomic,
        _MOVING_KEY in metadata,
    )


async def adopt(stream: LogStream, identity: str, partitions: int) -> None:
    """Create the stream for a move, or adopt an existing one that was never used.

    Raises :class:`Conflict` if it holds another log.
    """
    address = stream.connection.address
    info = await _get_or_create(stream, _stream_config(stream, partitions, 0))
    metadata = _metadata(address, info)
    check_stream(address, info)
    if metadata[IDENTITY_KEY] == identity:
        return
    if info.state.last_seq:
        raise Conflict(in_use_message(address))
    metadata |= {IDENTITY_KEY: identity, _PARTITIONS_KEY: str(partitions), _MOVING_KEY: "1"}
    await stream.update(info.config | {"metadata": metadata})


async def finish_move(stream: LogStream) -> None:
    """Mark the move as finished, so that the stream can be opened like any other."""
    info = await stream.info()
    metadata = _metadata(stream.connection.address, info)
    if metadata.pop(_MOVING_KEY, None):
        await stream.update(info.config | {"metadata": metadata})


async def reason_against_move(stream: LogStream, identity: str | None) -> str:
    """Return why the log of that identity cannot be moved here, empty if it can."""
    try:
        info = await stream.info()
    except RequestRefused as refused:
        if refused.error.err_code == STREAM_NOT_FOUND:
            return ""
        raise _explain_refusal(stream.connection.address, refused) from refused
    metadata = _metadata(stream.connection.address, info)
    is_free = not info.state.last_seq or metadata[IDENTITY_KEY] == identity
    return "" if is_free else in_use_message(stream.connection.address)


async def holds_log(stream: LogStream, identity: str) -> bool:
    """Return whether the stream holds the log of that identity."""
    try:
        info = await stream.info()
    except RequestRefused as refused:
        if refused.error.err_code == STREAM_NOT_FOUND:
            return False
        raise
    return _metadata(stream.connection.address, info)[IDENTITY_KEY] == identity


def in_use_message(address: JetStreamAddress) -> str:
    """Return the error text for a stream that cannot be moved into."""
    return f"{address} is used already, or belongs to another ledger; give the log another name"


async def _get_or_create(stream: LogStream, config: dict[str, Any]) -> StreamInfo:
    """Return the stream; create it if there is none."""
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
        return await stream.info()  # another process has just created it


async def _check_identity(stream: LogStream, identity: str) -> None:
    address, state = stream.connection.address, "does not exist"
    try:
        metadata = _metadata(address, await stream.info())
        state = f"is the log {metadata[IDENTITY_KEY]}"
    except RequestRefused as refused:
        if refused.error.err_code != STREAM_NOT_FOUND:
            raise _explain_refusal(address, refused) from refused
    else:
        if metadata[IDENTITY_KEY] == identity:
            return
    raise StoreCorrupted(
        f"{address} {state}, and this ledger belongs to the log {identity}; give the address of"
        " that log, or a ledger in a new database"
    )


def _stream_config(stream: LogStream, partitions: int, max_bytes: int) -> dict[str, Any]:
    connection, address = stream.connection, stream.connection.address
    if not 1 <= partitions <= _MAX_PARTITIONS:
        raise StoreError(f"{address}: a log has 1 to {_MAX_PARTITIONS} partitions")
    config: dict[str, Any] = {
        "name": address.name,
        "description": "Log of Busway; written and trimmed by it only",
        "subjects": [f"{address.name}.*"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": address.replicas or (3 if connection.clustered else 1),
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": max_bytes or -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "duplicate_window": int(address.duplicate_window_s * 1e9),
        "allow_direct": True,
        "republish": republish_config(address.name),
        "metadata": {
            _FORMAT_KEY: str(FORMAT_VERSION),
            IDENTITY_KEY: str(uuid.uuid4()),
            _PARTITIONS_KEY: str(partitions),
        },
    }
    return config | ({"allow_atomic": True} if connection.version >= _ATOMIC_SINCE else {})


def _metadata(address: JetStreamAddress, info: StreamInfo) -> dict[str, str]:
    metadata: dict[str, str] = info.config.get("metadata") or {}
    if not {_FORMAT_KEY, IDENTITY_KEY, _PARTITIONS_KEY} <= metadata.keys():
        raise StoreError(
            f"{address}: the stream {address.name!r} was not made by Busway; give the log"
            " another name"
        )
    _check_format(address, int(metadata[_FORMAT_KEY]))
    return metadata


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
