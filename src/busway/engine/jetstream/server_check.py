"""What has to be so before a stream may hold a log, and what is not quite as it should be."""

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
"""What the settings of a stream may be: one that forgets by itself, or that keeps its messages in
memory, cannot hold a log."""


async def check_server(connection: NatsConnection, max_event_bytes: int) -> None:
    """Raise :class:`StoreError` when the server cannot do what a log needs."""
    if connection.version < MIN_VERSION:
        found = ".".join(map(str, connection.version))
        raise StoreError(
            f"{connection.address}: NATS {found} is too old; Busway needs 2.11 or newer"
        )
    if not connection.jetstream and not await connection.has_responders(_API_INFO_SUBJECT):
        raise StoreError(
            f"{connection.address}: the servers have no JetStream; add a jetstream block with a"
            " store_dir"
            " to the configuration of each (nats-server -js for one to try)"
        )
    needed = payload_bytes_for(max_event_bytes)
    if connection.max_payload < needed:
        raise StoreError(
            f"{connection.address}: the servers take messages of {connection.max_payload} bytes"
            " and an event may"
            f" have {max_event_bytes}; set max_payload to {needed} or more (8MB is good) on the"
            " servers, or lower BUSWAY_MAX_EVENT_BYTES"
        )


def check_stream(address: JetStreamAddress, info: StreamInfo) -> None:
    """Raise :class:`StoreError` when a stream is not as a log must be, or as it is asked for."""
    wrong = _config_errors(address, info)
    replicas = info.config.get("num_replicas")
    if address.replicas and replicas != address.replicas:
        wrong.append(f"num_replicas is {replicas} and {address.replicas} is asked for")
    _refuse_config(address, wrong)
    if info.state.last_seq and not info.state.messages:
        raise StoreCorrupted(
            f"{address}: the stream {address.name!r} was purged; restore it from a backup"
            " (nats stream restore), or take another name and a new ledger"
        )


def check_unchanged(address: JetStreamAddress, info: StreamInfo, identity: str) -> None:
    """Raise :class:`StoreError` when a stream that is open is another one, or was changed."""
    found = (info.config.get("metadata") or {}).get(IDENTITY_KEY)
    if found != identity:
        raise StoreCorrupted(
            f"{address}: the stream is another log now ({found}, not {identity}); restore that one"
            " from a backup, and start Busway anew"
        )
    _refuse_config(address, _config_errors(address, info))


def _config_errors(address: JetStreamAddress, info: StreamInfo) -> list[str]:
    config = info.config
    wrong = [
        f"{name} is {config.get(name)!r} and must be {allowed[0]!r}"
        for name, allowed in _REQUIRED_CONFIG.items()
        if config.get(name) not in allowed
    ]
    if config.get("subjects") != [f"{address.name}.*"]:
        wrong.append(f"subjects is {config.get('subjects')!r} and must be ['{address.name}.*']")
    return wrong


def _refuse_config(address: JetStreamAddress, errors: Sequence[str]) -> None:
    if errors:
        raise StoreError(
            f"{address}: the stream {address.name!r} cannot be used: {'; '.join(errors)};"
            " change it (nats stream edit), or give the log another name"
        )


def stream_warnings(
    address: JetStreamAddress, info: StreamInfo, fsync_report: FsyncReport
) -> list[str]:
    """Return what a person should know: how it can lose what it acknowledged, and what to do."""
    found = (
        [fsync_report.warning]
        if fsync_report.warning
        else unchecked_server_warnings(address, info, fsync_report.checked_servers)
    )
    replicas = int(info.config.get("num_replicas", 1))
    if replicas < 3:
        found.append(
            f"{address} keeps {replicas} {'copy' if replicas == 1 else 'copies'}: without a server"
            " nothing can be appended, and with its disk events are lost; use three replicas"
        )
    peers = info.cluster.replicas if info.cluster else []
    away = [peer.name for peer in peers if peer.offline]
    if away:
        found.append(
            f"{address}: these servers with a copy are away: {', '.join(away)}; start them"
        )
    return found
