"""What a server promises is judged by its settings."""

from __future__ import annotations

import pytest

from busway.driver.postgres.address import PostgresAddress
from busway.driver.postgres.connector import session_settings
from busway.engine.postgres.durability import assess_durability
from busway.engine.postgres.schema import SCHEMA
from busway.errors import StoreMisconfigured

SAFE = {
    "fsync": "on",
    "full_page_writes": "on",
    "data_sync_retry": "off",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "server_version": "16.4",
    "server_version_num": "160004",
    "server_encoding": "UTF8",
    **session_settings(SCHEMA),
}
STRICT = PostgresAddress.parse("postgresql://a/shop")
LAZY = PostgresAddress.parse("postgresql://a/shop?sync=lazy")


def test_a_safe_server_has_no_warnings() -> None:
    assert assess_durability(STRICT, SAFE, 0).warnings == []
    waited_for = SAFE | {"synchronous_standby_names": "b"}
    assert assess_durability(STRICT, waited_for, 2).warnings == []


def test_a_server_with_fsync_off_is_refused_unless_accepted() -> None:
    found = SAFE | {"fsync": "off"}
    with pytest.raises(
        StoreMisconfigured, match=r"fsync is off: .*; set fsync = on, or .*\?sync=lazy"
    ):
        assess_durability(STRICT, found, 0)
    (caution,) = assess_durability(LAZY, found, 0).warnings
    assert "fsync is off" in caution


@pytest.mark.parametrize(
    ("found", "strict", "lazy"),
    [
        ("on", "on", "on"),
        ("remote_apply", "remote_apply", "remote_apply"),
        ("remote_write", "on", "remote_write"),
        ("local", "on", "local"),
        ("off", "on", "off"),
    ],
)
def test_sessions_commit_safely(found: str, strict: str, lazy: str) -> None:
    settings = SAFE | {"synchronous_commit": found}
    assert assess_durability(STRICT, settings, 0).synchronous_commit == strict
    assert assess_durability(STRICT, settings, 0).warnings == []
    promise = assess_durability(LAZY, settings, 0)
    assert promise.synchronous_commit == lazy
    assert bool(promise.warnings) == (lazy not in ("on", "remote_apply"))


@pytest.mark.parametrize(
    ("name", "wrong"), [("full_page_writes", "off"), ("data_sync_retry", "on")]
)
def test_risky_settings_are_warned_of(name: str, wrong: str) -> None:
    (caution,) = assess_durability(STRICT, SAFE | {name: wrong}, 0).warnings
    assert caution.startswith(f"postgresql://a/shop: {name} is {wrong}: ")


def test_an_asynchronous_standby_is_warned_of() -> None:
    (caution,) = assess_durability(STRICT, SAFE, 2).warnings
    assert "2 standbys follow without being waited for" in caution


@pytest.mark.parametrize("commit", ["on", "remote_write", "local", "off"])
def test_the_timeout_hint_names_the_synchronous_standbys(commit: str) -> None:
    waited_for = SAFE | {"synchronous_standby_names": "b", "synchronous_commit": commit}
    assert (
        "synchronous_standby_names is 'b'" in assess_durability(STRICT, waited_for, 1).timeout_hint
    )
    assert bool(assess_durability(LAZY, waited_for, 1).timeout_hint) == (
        commit not in ("local", "off")
    )
    assert assess_durability(STRICT, SAFE, 1).timeout_hint == ""


def test_an_old_server_is_refused() -> None:
    old = SAFE | {"server_version": "13.9", "server_version_num": "130009"}
    address = PostgresAddress.parse("postgresql://ann:s3cret@a:5433/shop")
    with pytest.raises(StoreMisconfigured) as refused:
        assess_durability(address, old, 0)
    assert str(refused.value) == (
        "postgresql://a:5433/shop: PostgreSQL 13.9 is too old; Busway needs 14 or newer"
    )


def test_a_database_with_a_limited_encoding_is_refused() -> None:
    with pytest.raises(StoreMisconfigured, match=r"keeps text as LATIN1, .* ENCODING 'UTF8'"):
        assess_durability(STRICT, SAFE | {"server_encoding": "LATIN1"}, 0)
    assert assess_durability(STRICT, SAFE | {"server_encoding": "SQL_ASCII"}, 0).warnings == []


def test_sessions_without_the_wanted_settings_are_refused() -> None:
    ignored = SAFE | {"search_path": '"$user", public', "jit": "on"}
    with pytest.raises(StoreMisconfigured, match=r"\(search_path, jit\), .* not of a pooler"):
        assess_durability(STRICT, ignored, 0)
