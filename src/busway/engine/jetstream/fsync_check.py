"""Check that the servers sync before they acknowledge, which only their monitoring ports report."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.stream import ClusterInfo, StreamInfo
from busway.errors import StoreError

_MONITOR_TIMEOUT_S = 5.0


class FsyncReport(msgspec.Struct, frozen=True):
    """How the servers sync: a warning, and the names of the servers that reported it."""

    warning: str = ""
    checked_servers: frozenset[str] = frozenset()


class _SyncState(NamedTuple):
    server: str
    always: bool


async def check_fsync(address: JetStreamAddress) -> FsyncReport:
    """Ask the monitoring ports how the servers sync.

    Raises :class:`StoreError` if a server acknowledges before it syncs, unless the address accepts
    that.
    """
    if not address.monitor:
        return FsyncReport(
            f"{address}: it is not known whether the servers sync before they acknowledge; set"
            " sync_interval: always in the jetstream block of each, and give their monitoring"
            " addresses (?monitor=http://HOST:8222,…) so that it can be checked"
        )
    answers = await asyncio.gather(*map(_query_monitor, address.monitor))
    return _assess(address, dict(zip(address.monitor, answers, strict=True)))


def _assess(address: JetStreamAddress, reports: Mapping[str, _SyncState | None]) -> FsyncReport:
    lazy = [url for url, state in reports.items() if state and not state.always]
    silent = [url for url, state in reports.items() if state is None]
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
            f"{address}: these servers do not report how they sync: {', '.join(silent)}"
        )
    return FsyncReport(
        checked_servers=frozenset(state.server for state in reports.values() if state)
    )


def unchecked_server_warnings(
    address: JetStreamAddress, info: StreamInfo, checked_servers: frozenset[str]
) -> list[str]:
    """Return a warning if servers with a copy have not reported how they sync."""
    cluster = info.cluster or ClusterInfo()
    names = {cluster.leader, *(peer.name for peer in cluster.replicas)} - checked_servers - {""}
    if not names:
        return []
    return [
        f"{address}: how these servers with a copy sync is not known: {', '.join(sorted(names))};"
        " give their monitoring addresses as well (?monitor=)"
    ]


async def _query_monitor(url: str) -> _SyncState | None:
    """Return how a server syncs, ``None`` if it does not report it."""
    timeout = aiohttp.ClientTimeout(total=_MONITOR_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/varz") as response,
        ):
            report: Any = await response.json()
            always = bool(report["jetstream"]["config"].get("sync_always", False))
            return _SyncState(str(report["server_name"]), always)
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return None
