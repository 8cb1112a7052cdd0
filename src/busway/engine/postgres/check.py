"""What has to be so before a server may hold a log, and what is not quite as it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.engine.postgres.address import SAFE_COMMITS, Address
from busway.engine.postgres.database import NO_POOLER, fetch, told
from busway.engine.postgres.schema import SCHEMA
from busway.engine.postgres.silence import short_session
from busway.engine.postgres.way import Way, session_settings
from busway.errors import StoreUnfit

OLDEST = 14
_UNWAITING = ("off", "local")
"""Commits that wait for no standby."""
_ENCODINGS = ("UTF8", "SQL_ASCII")
"""The second one keeps whatever bytes it is given."""
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
    """How the sessions are to commit; how it could lose what it acknowledged, and the remedy.

    ``hint`` says what a commit may wait for.
    """

    commit: str
    cautions: Sequence[str] = ()
    hint: str = ""


async def check(way: Way) -> Promise:
    """Ask a server how it commits, and who follows it; raises as :func:`judged` does.

    Raises :class:`SettingsError` where a file that the address names cannot be read.
    """
    way.address.check_files()
    with told(way.address.place):
        async with short_session(way, SCHEMA) as session:
            rows = await fetch(session, "schema/promises", list(session_settings(SCHEMA)))
            found = {str(name): str(setting) for name, setting in rows}
            ((standbys,),) = await fetch(session, "schema/standbys")
    return judged(way.address, found, int(standbys))


def judged(address: Address, found: Mapping[str, str], standbys: int) -> Promise:
    """Return what a server promises that has these settings and so many standbys.

    Raises :class:`StoreUnfit` when it is too old, cannot keep every character, does not give the
    sessions the settings that they ask for, or acknowledges what it has not synced, unless the
    address says that this is accepted.
    """
    _check_version(address, found)
    _check_encoding(address, found)
    _check_sessions(address, found)
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
    cautions = [f"{address.place}: {one}" for one in told]
    return Promise(commit, cautions, _waits(commit, found["synchronous_standby_names"]))


def _check_version(address: Address, found: Mapping[str, str]) -> None:
    number = int(found["server_version_num"])
    if number // 10_000 < OLDEST:
        raise StoreUnfit(
            f"{address.place}: PostgreSQL {found['server_version']} is too old;"
            f" Busway needs {OLDEST} or newer"
        )


def _check_encoding(address: Address, found: Mapping[str, str]) -> None:
    encoding = found["server_encoding"]
    if encoding not in _ENCODINGS:
        raise StoreUnfit(
            f"{address.place}: the database keeps text as {encoding}, which does not have every"
            " character; give one that was made with ENCODING 'UTF8' TEMPLATE template0"
        )


def _check_sessions(address: Address, found: Mapping[str, str]) -> None:
    given = session_settings(SCHEMA)
    dropped = [name for name, value in given.items() if found[name] != value]
    if dropped:
        raise StoreUnfit(
            f"{address.place}: sessions are not set up as Busway asks ({', '.join(dropped)}), as"
            f" with a pooler between that ignores it; {NO_POOLER}"
        )


def _waits(commit: str, standbys: str) -> str:
    if not standbys or commit in _UNWAITING:
        return ""
    return f"; it may wait for a standby, as synchronous_standby_names is {standbys!r}"


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
