"""What has to be so before a server may hold a log, and what is not quite as it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.engine.postgres.address import SAFE_COMMITS, Address
from busway.engine.postgres.database import fetch, told
from busway.engine.postgres.way import Way
from busway.errors import StoreUnfit

OLDEST = 14
_UNSAFE = {
    "fsync": "a crash of its machine loses or damages what it acknowledged; set fsync = on",
}
_DOUBTFUL = {
    "full_page_writes": (
        "off",
        "a crash of its machine damages pages that it was writing, unless its file system never"
        " writes half of one (ZFS); set full_page_writes = on",
    ),
    "data_sync_retry": (
        "on",
        "it tries a failed fsync again, which loses what the system has dropped by then; set"
        " data_sync_retry = off",
    ),
}


class Promise(msgspec.Struct, frozen=True):
    """How the sessions are to commit; how it could lose what it acknowledged, and the remedy."""

    commit: str
    cautions: Sequence[str] = ()


async def check(way: Way) -> Promise:
    """Ask a server how it commits, and who follows it; raises as :func:`judged` does."""
    with told(way.address.place):
        session = await way.connect()
        try:
            rows = await fetch(session, "schema/promises")
            found = {str(name): str(setting) for name, setting in rows}
            ((standbys,),) = await fetch(session, "schema/standbys")
        finally:
            await session.close()
    return judged(way.address, found, int(standbys))


def judged(address: Address, found: Mapping[str, str], standbys: int) -> Promise:
    """Return what a server promises that has these settings and so many standbys.

    Raises :class:`StoreUnfit` when it is too old, or acknowledges what it has not synced, unless
    the address says that this is accepted.
    """
    _check_version(address, found)
    lazy = address.sync == "lazy"
    unsafe = [f"{name} is off: {why}" for name, why in _UNSAFE.items() if found[name] == "off"]
    if unsafe and not lazy:
        raise StoreUnfit(f"{address.place}: {'; '.join(unsafe)}, or accept it with ?sync=lazy")
    doubtful = [
        f"{name} is {wrong}: {why}"
        for name, (wrong, why) in _DOUBTFUL.items()
        if found.get(name) == wrong
    ]
    commit = found["synchronous_commit"]
    if commit not in SAFE_COMMITS and not lazy:
        commit = "on"
    told = [*unsafe, *doubtful, *_lost_by_commit(commit), *_lost_by_failover(found, standbys)]
    return Promise(commit, [f"{address.place}: {one}" for one in told])


def _check_version(address: Address, found: Mapping[str, str]) -> None:
    number = int(found["server_version_num"])
    if number // 10_000 < OLDEST:
        raise StoreUnfit(
            f"{address.place}: PostgreSQL {found['server_version']} is too old;"
            f" Busway needs {OLDEST} or newer"
        )


def _lost_by_commit(commit: str) -> Sequence[str]:
    if commit in SAFE_COMMITS:
        return ()
    return [f"synchronous_commit is {commit}: it acknowledges what can be lost; set it to on"]


def _lost_by_failover(found: Mapping[str, str], standbys: int) -> Sequence[str]:
    if not standbys or found["synchronous_standby_names"]:
        return ()
    return [
        f"{standbys} {'standby follows' if standbys == 1 else 'standbys follow'} without being"
        " waited for: a failover may lose what was acknowledged; set synchronous_standby_names"
    ]
