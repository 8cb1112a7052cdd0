"""How the servers sync before they acknowledge, which only their monitoring ports tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.stream import ClusterInfo, StreamInfo
from busway.errors import StoreError

_MONITOR_TIMEOUT_S = 5.0


class FsyncReport(msgspec.Struct, frozen=True):
    """How the servers sync: what a person should know of it, and which of them told it."""

    warning: str = ""
    checked_servers: frozenset[str] = frozenset()


async def check_fsync(address: JetStreamAddress) -> FsyncReport:
    """Look up how the servers sync.

    The servers tell it to their monitoring port only. Raises :class:`StoreError` when one of them
    acknowledges what it has not synced, unless the address says that this is accepted.
    """
    if not address.monitor:
        return FsyncReport(
            f"{address}: it is not known whether the servers sync before they acknowledge; set"
            " sync_interval: always in the jetstream block of each, and give their monitoring"
            " addresses (?monitor=http://HOST:8222,…) so that it can be checked"
        )
    answers = await asyncio.gather(*map(_query_monitor, address.monitor))
    return _assess(address, dict(zip(address.monitor, answers, strict=True)))


def _assess(
    address: JetStreamAddress, reports: Mapping[str, tuple[str, bool] | None]
) -> FsyncReport:
    lazy = [url for url, told in reports.items() if told and not told[1]]
    silent = [url for url, told in reports.items() if told is None]
    if lazy and address.sync == "always":
        raise StoreError(
            f"{address}: these servers acknowledge before they sync, so that a power cut loses"
            f" events: {', '.join(lazy)}; set sync_interval: always in their jetstream block, or"
            " accept it with ?sync=lazy"
        )
    if lazy:
        return FsyncReport(
            f"{address}: these servers acknowledge before they sync: {', '.join(lazy)}"
        )
    if silent:
        return FsyncReport(
            f"{address}: how these servers sync could not be asked: {', '.join(silent)}"
        )
    return FsyncReport(checked_servers=frozenset(told[0] for told in reports.values() if told))


def unchecked_server_warnings(
    address: JetStreamAddress, info: StreamInfo, checked_servers: frozenset[str]
) -> list[str]:
    """Return a caution where servers that have a copy are not among those that have told it."""
    cluster = info.cluster or ClusterInfo()
    names = {cluster.leader, *(peer.name for peer in cluster.replicas)} - checked_servers - {""}
    if not names:
        return []
    return [
        f"{address}: how these servers with a copy sync is not known: {', '.join(sorted(names))};"
        " give their monitoring addresses as well (?monitor=)"
    ]


async def _query_monitor(url: str) -> tuple[str, bool] | None:
    """Return a server's name and whether it syncs always; ``None`` where it does not tell."""
    timeout = aiohttp.ClientTimeout(total=_MONITOR_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/varz") as response,
        ):
            told: Any = await response.json()
            always = bool(told["jetstream"]["config"].get("sync_always", False))
            return str(told["server_name"]), always
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return None
