"""What has to be so before a stream may hold a log, and what is not quite as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from busway.engine.jetstream.link import Link
from busway.engine.jetstream.parcel import room_for
from busway.engine.jetstream.place import Place
from busway.engine.jetstream.stream import Info
from busway.errors import StoreError

OLDEST = (2, 11, 0)
_ANYBODY = "$JS.API.INFO"
_MONITOR_S = 5.0
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
    """Raise :class:`StoreError` when a stream is not as a log must be."""
    config = info.config
    wrong = [
        f"{name} is {config.get(name)!r} and must be {allowed[0]!r}"
        for name, allowed in _WANTED.items()
        if config.get(name) not in allowed
    ]
    if config.get("subjects") != [f"{place.name}.*"]:
        wrong.append(f"subjects is {config.get('subjects')!r} and must be ['{place.name}.*']")
    if place.replicas and config.get("num_replicas") != place.replicas:
        wrong.append(
            f"num_replicas is {config.get('num_replicas')} and {place.replicas} is asked for"
        )
    if wrong:
        raise StoreError(
            f"{place}: the stream {place.name!r} cannot be used: {'; '.join(wrong)};"
            " change it (nats stream edit), or give the log another name"
        )


def cautions(place: Place, info: Info, sync: str | None) -> list[str]:
    """Return what a person should know: how it can lose what it acknowledged, and what to do."""
    found = [] if sync is None else [sync]
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


async def check_sync(place: Place) -> str | None:
    """Return a caution about how the servers sync, ``None`` when all are known to be safe.

    The servers tell it to their monitoring port only. Raises :class:`StoreError` when one of them
    acknowledges what it has not synced, unless the address says that this is accepted.
    """
    if not place.monitor:
        return (
            f"{place}: it is not known whether the servers sync before they acknowledge; set"
            " sync_interval: always in the jetstream block of each, and give their monitoring"
            " addresses (?monitor=http://HOST:8222,…) so that it can be checked"
        )
    answers = await asyncio.gather(*(_synced(url) for url in place.monitor))
    return _judged(place, answers)


def _judged(place: Place, answers: Sequence[tuple[str, bool | None]]) -> str | None:
    lazy = [url for url, always in answers if always is False]
    silent = [url for url, always in answers if always is None]
    if lazy and place.sync == "always":
        raise StoreError(
            f"{place}: these servers acknowledge before they sync, so that a power cut loses"
            f" events: {', '.join(lazy)}; set sync_interval: always in their jetstream block, or"
            " accept it with ?sync=lazy"
        )
    if lazy:
        return f"{place}: these servers acknowledge before they sync: {', '.join(lazy)}"
    if silent:
        return f"{place}: how these servers sync could not be asked: {', '.join(silent)}"
    return None


async def _synced(url: str) -> tuple[str, bool | None]:
    """Ask one server's monitoring port; ``None`` where it does not tell."""
    timeout = aiohttp.ClientTimeout(total=_MONITOR_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/varz") as response,
        ):
            told: Any = await response.json()
            return url, bool(told["jetstream"]["config"].get("sync_always", False))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return url, None
