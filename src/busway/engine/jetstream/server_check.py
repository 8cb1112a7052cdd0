"""Check that servers and stream can hold a log, and warn of settings that put it at risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.connection import NatsConnection
from busway.engine.jetstream.fsync_check import FsyncReport, unchecked_server_warnings
from busway.engine.jetstream.outgoing_message import payload_bytes_for
from busway.engine.jetstream.stream import StreamInfo
from busway.errors import StoreCorrupted, StoreError

MIN_VERSION = (2, 11, 0)
IDENTITY_KEY = "busway.identity"
_API_INFO_SUBJECT = "$JS.API.INFO"
_REQUIRED_CONFIG: Mapping[str, tuple[object, ...]] = {
    "storage": ("file",),
    "retention": ("limits",),
    "discard": ("new",),
    "max_age": (0, None),
    "max_msgs": (-1, 0, None),
    "max_msgs_per_subject": (-1, 0, None),
    "max_msg_size": (-1, 0, None),
    "persist_mode": ("default", "", None),
    "allow_direct": (True,),
    "sealed": (False, None),
    "no_ack": (False, None),
    "deny_purge": (False, None),
    "mirror": (None,),
    "sources": (None,),
    "subject_transform": (None,),
}
"""The allowed settings of a stream, the usual one first: a stream that expires messages, or keeps
them in memory, cannot hold a log."""


async def check_server(connection: NatsConnection, max_event_bytes: int) -> None:
    """Raise :class:`StoreError` if the server lacks what a log needs."""
    if connection.version < MIN_VERSION:
        version = ".".join(map(str, connection.version))
        raise StoreError(
            f"{connection.address}: NATS {version} is too old; Busway needs 2.11 or newer"
        )
    if not connection.jetstream and not await connection.has_responders(_API_INFO_SUBJECT):
        raise StoreError(
            f"{connection.address}: the servers have no JetStream; add a jetstream block with a"
            " store_dir to the configuration of each (to try it: nats-server -js)"
        )
    needed = payload_bytes_for(max_event_bytes)
    if connection.max_payload < needed:
        raise StoreError(
            f"{connection.address}: the servers accept messages of {connection.max_payload} bytes"
            f" and an event may have {max_event_bytes}; set max_payload to {needed} or more"
            " (8MB is good) on the servers, or lower BUSWAY_MAX_EVENT_BYTES"
        )


def check_stream(address: JetStreamAddress, info: StreamInfo) -> None:
    """Raise :class:`StoreError` if a stream cannot hold a log, or differs from the address."""
    errors = _config_errors(address, info)
    replicas = info.config.get("num_replicas")
    if address.replicas and replicas != address.replicas:
        errors.append(f"num_replicas is {replicas} and {address.replicas} is asked for")
    _refuse_config(address, errors)
    if info.state.last_seq and not info.state.messages:
        raise StoreCorrupted(
            f"{address}: the stream {address.name!r} was purged; restore it from a backup"
            " (nats stream restore), or take another name and a new ledger"
        )


def check_unchanged(address: JetStreamAddress, info: StreamInfo, identity: str) -> None:
    """Raise :class:`StoreError` if an open stream is another one now, or was reconfigured."""
    current = (info.config.get("metadata") or {}).get(IDENTITY_KEY)
    if current != identity:
        raise StoreCorrupted(
            f"{address}: the stream is another log now ({current}, not {identity}); restore the"
            " right one from a backup, and restart Busway"
        )
    _refuse_config(address, _config_errors(address, info))


def _config_errors(address: JetStreamAddress, info: StreamInfo) -> list[str]:
    config = info.config
    errors = [
        f"{name} is {config.get(name)!r} and must be {allowed[0]!r}"
        for name, allowed in _REQUIRED_CONFIG.items()
        if config.get(name) not in allowed
    ]
    if config.get("subjects") != [f"{address.name}.*"]:
        errors.append(f"subjects is {config.get('subjects')!r} and must be ['{address.name}.*']")
    return errors


def _refuse_config(address: JetStreamAddress, errors: Sequence[str]) -> None:
    if errors:
        raise StoreError(
            f"{address}: the stream {address.name!r} cannot be used: {'; '.join(errors)};"
            " change it (nats stream edit), or give the log another name"
        )


def stream_warnings(
    address: JetStreamAddress, info: StreamInfo, fsync_report: FsyncReport
) -> list[str]:
    """Return warnings: how acknowledged events could be lost, and what to do."""
    warnings = (
        [fsync_report.warning]
        if fsync_report.warning
        else unchecked_server_warnings(address, info, fsync_report.checked_servers)
    )
    replicas = int(info.config.get("num_replicas", 1))
    if replicas < 3:
        warnings.append(
            f"{address} keeps {replicas} {'copy' if replicas == 1 else 'copies'}: without a server"
            " nothing can be appended, and with its disk events are lost; use three replicas"
        )
    peers = info.cluster.replicas if info.cluster else []
    offline = [peer.name for peer in peers if peer.offline]
    if offline:
        warnings.append(
            f"{address}: these servers with a copy are offline: {', '.join(offline)}; start them"
        )
    return warnings
