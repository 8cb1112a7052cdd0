"""An address of PostgreSQL is read, and never shows what is secret."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest

from busway.driver.postgres.address import PostgresAddress
from busway.errors import SettingsError


def test_one_server() -> None:
    found = PostgresAddress.parse("postgresql://me:secret@db.example.com:6432/shop?sslmode=require")
    assert found.url == "postgresql://me:secret@db.example.com:6432/shop?sslmode=require"
    assert found.label == "postgresql://db.example.com:6432/shop"
    assert (found.hosts, found.sync) == ((("db.example.com", 6432),), "always")


def test_several_servers_ask_for_one_that_accepts_writes() -> None:
    found = PostgresAddress.parse("postgresql://a,b:6432,[::1]:6433/shop")
    assert found.hosts == (("a", None), ("b", 6432), ("::1", 6433))
    assert found.label == "postgresql://a,b:6432,[::1]:6433/shop"
    assert found.url == "postgresql:///shop?target_session_attrs=read-write"
    named = PostgresAddress.parse("postgresql://me:secret@a,[::1]/shop")
    assert named.url == "postgresql://me:secret@/shop?target_session_attrs=read-write"
    asked = PostgresAddress.parse("postgresql://a,b/shop?target_session_attrs=primary")
    assert asked.url.endswith("?target_session_attrs=primary")


def test_our_own_options_are_not_passed_to_asyncpg() -> None:
    found = PostgresAddress.parse("postgresql://a/shop?sync=lazy&synchronous_commit=off")
    assert (found.sync, found.url) == ("lazy", "postgresql://a/shop?synchronous_commit=off")


def test_an_address_without_a_host_uses_the_defaults_of_asyncpg() -> None:
    assert PostgresAddress.parse("postgresql:///shop?host=/run/postgresql").hosts == ()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://a/shop", "must be like postgresql://HOST/DATABASE"),
        ("postgresql://a/shop?sync=never", "sync is 'never'; give always or lazy"),
        ("postgresql://a/shop?synchronous_commit=off", "acknowledged events can be lost"),
        ("postgresql://me:secret@a:b/shop", "'a:b' is not a host"),
    ],
)
def test_an_invalid_address_is_explained(address: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        PostgresAddress.parse(address)
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("secret", ["ge/heim", "ge?heim", "ge#heim"])
def test_a_password_with_a_sign_that_ends_it_is_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="an @ behind its hosts") as caught:
        PostgresAddress.parse(f"postgresql://me:{secret}@db.example.com/shop")
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize("hosts", ["db.example.com", "a,b"])
@pytest.mark.parametrize("secret", ["a@b", "a[b]c", "℀", "a%b", "a%zz", "a:b", "a b+c", "ä"])
def test_a_password_reaches_asyncpg_unchanged(secret: str, hosts: str) -> None:
    for written in (secret, quote(secret, safe="")):
        url = PostgresAddress.parse(f"postgresql://me:{written}@{hosts}/shop").url
        assert url.count("@") == 1, "the driver ends the password at the first"
        parts = urlsplit(url)
        assert (parts.username, unquote(parts.password or "")) == ("me", secret)
        assert parts.hostname == (None if "," in hosts else hosts)


@pytest.mark.parametrize("secret", ["12/geheim?x", "ge/he?im"])
def test_a_password_with_several_signs_is_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="an @ behind its hosts") as caught:
        PostgresAddress.parse(f"postgresql://me:{secret}@db.example.com/shop")
    assert not any(part in str(caught.value) for part in ("ge/", "he?", "12/"))


def test_an_option_may_contain_an_at_sign() -> None:
    found = PostgresAddress.parse("postgresql://db.example.com/shop?user=me@example.com")
    assert found.label == "postgresql://db.example.com/shop"


@pytest.mark.parametrize("host", ["a:99999", "a..b", "x" * 70])
def test_an_invalid_host_or_port_is_explained(host: str) -> None:
    with pytest.raises(SettingsError, match=r"is not a port|is not a valid host name"):
        PostgresAddress.parse(f"postgresql://me@{host}/shop")


@pytest.mark.parametrize("option", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_a_missing_file_is_named(option: str) -> None:
    address = PostgresAddress.parse(
        f"postgresql://me:secret@a/shop?sslmode=verify-full&{option}=/nowhere"
    )
    with pytest.raises(SettingsError, match=rf"/nowhere cannot be read .* \?{option}=") as caught:
        address.check_files()
    assert "secret" not in str(caught.value)
