"""Whether a request comes from this machine, and from a page of this server's own."""

from __future__ import annotations

import pytest

from busway.network import (
    is_cross_site,
    is_loopback,
    is_trusted_host,
    listens_on_loopback,
)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_an_address_of_this_machine_alone(address: str) -> None:
    assert is_loopback(address)
    assert listens_on_loopback(address)


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1", "0.0.0.0", "::", ""])
def test_an_address_that_others_reach(address: str) -> None:
    assert not is_loopback(address)
    assert not listens_on_loopback(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8400", "shop.localhost", "127.0.0.1", "[::1]:8400", "10.0.0.1:8400"],
)
def test_a_name_that_nobody_else_can_bind_to_an_address(host: str) -> None:
    assert is_trusted_host(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8400", "", None]
)
def test_a_name_that_somebody_else_can_bind_to_this_address(host: str | None) -> None:
    assert not is_trusted_host(host)


@pytest.mark.parametrize(
    ("fetch_site", "origin", "host"),
    [
        ("", None, "127.0.0.1:8400"),
        ("", None, None),
        ("none", None, "127.0.0.1:8400"),
        ("same-origin", None, "127.0.0.1:8400"),
        ("Same-Origin", "http://127.0.0.1:8400", "127.0.0.1:8400"),
        ("", "https://shop.example", "shop.example"),
        ("", "https://Shop.example", "shop.example:443"),
        ("", "http://shop.example:80", "shop.example"),
    ],
)
def test_who_is_no_browser_or_a_page_of_its_own_is_not_cross_site(
    fetch_site: str, origin: str | None, host: str | None
) -> None:
    assert not is_cross_site(fetch_site, origin, host)


@pytest.mark.parametrize(
    ("fetch_site", "origin", "host"),
    [
        ("cross-site", None, "127.0.0.1:8400"),
        ("cross-site", "http://127.0.0.1:8400", "127.0.0.1:8400"),
        ("same-site", None, "localhost:8400"),
        ("what-comes-next", None, "localhost:8400"),
        ("", "null", "localhost:8400"),
        ("", "", "localhost:8400"),
        ("", "http://evil.example", "localhost:8400"),
        ("same-origin", "http://evil.example", "localhost:8400"),
        ("", "http://localhost:3000", "localhost:8400"),
        ("", "http://localhost", "localhost:8400"),
        ("", "http://127.0.0.1:8400", "localhost:8400"),
        ("", "file://", ""),
        ("", "chrome-extension://abc", "abc"),
        ("", "http://localhost:8400", None),
    ],
)
def test_a_page_of_another_origin_is_cross_site(
    fetch_site: str, origin: str | None, host: str | None
) -> None:
    assert is_cross_site(fetch_site, origin, host)
