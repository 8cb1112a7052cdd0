"""What a server promises is judged by its settings."""

from __future__ import annotations

import pytest

from busway.engine.postgres.address import Address
from busway.engine.postgres.check import judged
from busway.engine.postgres.schema import SCHEMA
from busway.engine.postgres.way import session_settings
from busway.errors import StoreUnfit

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
STRICT = Address.of("postgresql://a/shop")
LAZY = Address.of("postgresql://a/shop?sync=lazy")


def test_a_safe_server_has_no_cautions() -> None:
    assert judged(STRICT, SAFE, 0).cautions == []
    waited_for = SAFE | {"synchronous_standby_names": "b"}
    assert judged(STRICT, waited_for, 2).cautions == []


def test_a_server_that_does_not_sync_is_refused_unless_that_is_accepted() -> None:
    found = SAFE | {"fsync": "off"}
    with pytest.raises(StoreUnfit, match=r"fsync is off: .*; set fsync = on, or .*\?sync=lazy"):
        judged(STRICT, found, 0)
    (caution,) = judged(LAZY, found, 0).cautions
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
    assert judged(STRICT, settings, 0).commit == strict
    assert judged(STRICT, settings, 0).cautions == []
    promise = judged(LAZY, settings, 0)
    assert promise.commit == lazy
    assert bool(promise.cautions) == (lazy not in ("on", "remote_apply"))


@pytest.mark.parametrize(
    ("name", "wrong"), [("full_page_writes", "off"), ("data_sync_retry", "on")]
)
def test_what_is_doubtful_is_told(name: str, wrong: str) -> None:
    (caution,) = judged(STRICT, SAFE | {name: wrong}, 0).cautions
    assert caution.startswith(f"postgresql://a/shop: {name} is {wrong}: ")


def test_a_standby_that_is_not_waited_for_is_told() -> None:
    (caution,) = judged(STRICT, SAFE, 2).cautions
    assert "2 standbys follow without being waited for" in caution


@pytest.mark.parametrize("commit", ["on", "remote_write", "local", "off"])
def test_what_a_commit_may_wait_for_is_known(commit: str) -> None:
    waited_for = SAFE | {"synchronous_standby_names": "b", "synchronous_commit": commit}
    assert "synchronous_standby_names is 'b'" in judged(STRICT, waited_for, 1).hint
    assert bool(judged(LAZY, waited_for, 1).hint) == (commit not in ("local", "off"))
    assert judged(STRICT, SAFE, 1).hint == ""


def test_an_old_server_is_refused() -> None:
    old = SAFE | {"server_version": "13.9", "server_version_num": "130009"}
    address = Address.of("postgresql://ann:s3cret@a:5433/shop")
    with pytest.raises(StoreUnfit) as refused:
        judged(address, old, 0)
    assert str(refused.value) == (
        "postgresql://a:5433/shop: PostgreSQL 13.9 is too old; Busway needs 14 or newer"
    )


def test_a_database_that_cannot_keep_every_character_is_refused() -> None:
    with pytest.raises(StoreUnfit, match=r"keeps text as LATIN1, .* ENCODING 'UTF8'"):
        judged(STRICT, SAFE | {"server_encoding": "LATIN1"}, 0)
    assert judged(STRICT, SAFE | {"server_encoding": "SQL_ASCII"}, 0).cautions == []


def test_sessions_that_are_not_set_up_are_refused() -> None:
    ignored = SAFE | {"search_path": '"$user", public', "jit": "on"}
    with pytest.raises(StoreUnfit, match=r"\(search_path, jit\), .* not of a pooler"):
        judged(STRICT, ignored, 0)
