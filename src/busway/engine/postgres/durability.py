"""Check that a server keeps what it acknowledges, and warn of settings that put it at risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.driver.postgres.address import SAFE_COMMIT_LEVELS, PostgresAddress
from busway.driver.postgres.connector import Connector, session_settings
from busway.driver.postgres.timeout import short_session
from busway.engine.postgres.database import fetch
from busway.engine.postgres.error import NO_POOLER_HINT, translating_errors
from busway.engine.postgres.schema import SCHEMA
from busway.errors import StoreMisconfigured

MIN_VERSION = 14
_LOCAL_COMMIT_LEVELS = ("off", "local")
"""Commits that wait for no standby."""
_SAFE_ENCODINGS = ("UTF8", "SQL_ASCII")
"""SQL_ASCII stores any bytes."""
_UNSAFE_SETTINGS = {
    "fsync": "a crash of its machine loses or damages what it acknowledged; set fsync = on",
}
_RISKY_SETTINGS = {
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


class Durability(msgspec.Struct, frozen=True):
    """How sessions must commit.

    ``warnings`` say how the server could lose acknowledged events, and the remedy;
    ``timeout_hint`` what a commit may wait for.
    """

    synchronous_commit: str
    warnings: Sequence[str] = ()
    timeout_hint: str = ""


async def check_durability(connector: Connector) -> Durability:
    """Assess the settings and the standbys of a server; raises as :func:`assess_durability` does.

    Raises :class:`SettingsError` if a file that the address names cannot be read.
    """
    connector.address.check_files()
    with translating_errors(connector.address.label):
        async with short_session(connector, SCHEMA) as session:
            rows = await fetch(session, "schema/server_settings", list(session_settings(SCHEMA)))
            settings = {str(name): str(setting) for name, setting in rows}
            ((standbys,),) = await fetch(session, "schema/count_standbys")
    return assess_durability(connector.address, settings, int(standbys))


def assess_durability(
    address: PostgresAddress, settings: Mapping[str, str], standbys: int
) -> Durability:
    """Return how durable commits are on a server with these settings and standbys.

    Raises :class:`StoreMisconfigured` if it is too old, cannot store every character, does not give
    sessions the settings that they ask for, or acknowledges before it syncs, unless the address
    accepts that.
    """
    _check_version(address, settings)
    _check_encoding(address, settings)
    _check_session_settings(address, settings)
    lazy = address.sync == "lazy"
    unsafe = [
        f"{name} is off: {why}" for name, why in _UNSAFE_SETTINGS.items() if settings[name] == "off"
    ]
    if unsafe and not lazy:
        raise StoreMisconfigured(
            f"{address.label}: {'; '.join(unsafe)}, or accept it with ?sync=lazy"
        )
    risky = [
        f"{name} is {wrong}: {why}"
        for name, (wrong, why) in _RISKY_SETTINGS.items()
        if settings.get(name) == wrong
    ]
    commit = settings["synchronous_commit"]
    if commit not in SAFE_COMMIT_LEVELS and not lazy:
        commit = "on"
    texts = [*unsafe, *risky, *_commit_warnings(commit), *_failover_warnings(settings, standbys)]
    warnings = [f"{address.label}: {text}" for text in texts]
    return Durability(
        commit, warnings, _standby_hint(commit, settings["synchronous_standby_names"])
    )


def _check_version(address: PostgresAddress, settings: Mapping[str, str]) -> None:
    number = int(settings["server_version_num"])
    if number // 10_000 < MIN_VERSION:
        raise StoreMisconfigured(
            f"{address.label}: PostgreSQL {settings['server_version']} is too old;"
            f" Busway needs {MIN_VERSION} or newer"
        )


def _check_encoding(address: PostgresAddress, settings: Mapping[str, str]) -> None:
    encoding = settings["server_encoding"]
    if encoding not in _SAFE_ENCODINGS:
        raise StoreMisconfigured(
            f"{address.label}: the database keeps text as {encoding}, which does not have every"
            " character; give one that was made with ENCODING 'UTF8' TEMPLATE template0"
        )


def _check_session_settings(address: PostgresAddress, settings: Mapping[str, str]) -> None:
    wanted = session_settings(SCHEMA)
    dropped = [name for name, value in wanted.items() if settings[name] != value]
    if dropped:
        raise StoreMisconfigured(
            f"{address.label}: sessions are not set up as Busway asks ({', '.join(dropped)}), as"
            f" with a pooler between that ignores it; {NO_POOLER_HINT}"
        )


def _standby_hint(commit: str, standbys: str) -> str:
    if not standbys or commit in _LOCAL_COMMIT_LEVELS:
        return ""
    return f"; it may wait for a standby, as synchronous_standby_names is {standbys!r}"


def _commit_warnings(commit: str) -> Sequence[str]:
    if commit in SAFE_COMMIT_LEVELS:
        return ()
    return [f"synchronous_commit is {commit}: it acknowledges what can be lost; set it to on"]


def _failover_warnings(settings: Mapping[str, str], standbys: int) -> Sequence[str]:
    if not standbys or settings["synchronous_standby_names"]:
        return ()
    return [
        f"{standbys} {'standby follows' if standbys == 1 else 'standbys follow'} without being"
        " waited for: a failover may lose what was acknowledged; set synchronous_standby_names"
    ]
