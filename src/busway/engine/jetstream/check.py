"""What has to be so before a stream may hold a log, and what is not quite as it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from busway.engine.jetstream.link import Link
from busway.engine.jetstream.parcel import room_for
from busway.engine.jetstream.place import Place
from busway.engine.jetstream.stream import Info
from busway.engine.jetstream.sync import Synced, unasked
from busway.errors import StoreDamaged, StoreError

OLDEST = (2, 11, 0)
IDENTITY = "busway.identity"
_ANYBODY = "$JS.API.INFO"
_WANTED: Mapping[str, tuple[object, ...]] = {
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


async def check_server(link: Link, max_event_bytes: int) -> None:
    """Raise :class:`StoreError` when the server cannot do what a log needs."""
    if link.version < OLDEST:
        found = ".".join(map(str, link.version))
        raise StoreError(f"{link.place}: NATS {found} is too old; Busway needs 2.11 or newer")
    if not link.jetstream and not await link.answers(_ANYBODY):
        raise StoreError(
            f"{link.place}: the servers have no JetStream; add a jetstream block with a store_dir"
            " to the configuration of each (nats-server -js for one to try)"
        )
    needed = room_for(max_event_bytes)
    if link.max_payload < needed:
        raise StoreError(
            f"{link.place}: the servers take messages of {link.max_payload} bytes and an event may"
            f" have {max_event_bytes}; set max_payload to {needed} or more (8MB is good) on the"
            " servers, or lower BUSWAY_MAX_EVENT_BYTES"
        )


def check_stream(place: Place, info: Info) -> None:
    """Raise :class:`StoreError` when a stream is not as a log must be, or as it is asked for."""
    wrong = _wrong(place, info)
    replicas = info.config.get("num_replicas")
    if place.replicas and replicas != place.replicas:
        wrong.append(f"num_replicas is {replicas} and {place.replicas} is asked for")
    _refuse(place, wrong)
    if info.state.last_seq and not info.state.messages:
        raise StoreDamaged(
            f"{place}: the stream {place.name!r} was purged; restore it from a backup"
            " (nats stream restore), or take another name and a new ledger"
        )


def check_kept(place: Place, info: Info, identity: str) -> None:
    """Raise :class:`StoreError` when a stream that is open is another one, or was changed."""
    found = (info.config.get("metadata") or {}).get(IDENTITY)
    if found != identity:
        raise StoreDamaged(
            f"{place}: the stream is another log now ({found}, not {identity}); restore that one"
            " from a backup, and start Busway anew"
        )
    _refuse(place, _wrong(place, info))


def _wrong(place: Place, info: Info) -> list[str]:
    config = info.config
    wrong = [
        f"{name} is {config.get(name)!r} and must be {allowed[0]!r}"
        for name, allowed in _WANTED.items()
        if config.get(name) not in allowed
    ]
    if config.get("subjects") != [f"{place.name}.*"]:
        wrong.append(f"subjects is {config.get('subjects')!r} and must be ['{place.name}.*']")
    return wrong


def _refuse(place: Place, wrong: Sequence[str]) -> None:
    if wrong:
        raise StoreError(
            f"{place}: the stream {place.name!r} cannot be used: {'; '.join(wrong)};"
            " change it (nats stream edit), or give the log another name"
        )


def cautions(place: Place, info: Info, sync: Synced) -> list[str]:
    """Return what a person should know: how it can lose what it acknowledged, and what to do."""
    found = [sync.caution] if sync.caution else unasked(place, info, sync.servers)
    replicas = int(info.config.get("num_replicas", 1))
    if replicas < 3:
        found.append(
            f"{place} keeps {replicas} {'copy' if replicas == 1 else 'copies'}: without a server"
            " nothing can be appended, and with its disk events are lost; use three replicas"
        )
    peers = info.cluster.replicas if info.cluster else []
    away = [peer.name for peer in peers if peer.offline]
    if away:
        found.append(f"{place}: these servers with a copy are away: {', '.join(away)}; start them")
    return found
