"""Where a request comes from, judged by its address and headers."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

_SAME_SITE_VALUES = ("", "none", "same-origin")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_loopback(address: str | None) -> bool:
    """Return whether an IP address is a loopback address.

    >>> [is_loopback(ip) for ip in ("127.8.8.8", "::1", "::ffff:127.0.0.1", "10.0.0.7", "")]
    [True, True, True, False, False]
    """
    try:
        ip = ip_address(address or "")
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def listens_on_loopback(host: str) -> bool:
    """Return whether a server that listens on this host is reachable from this machine only.

    >>> [listens_on_loopback(host) for host in ("localhost", "127.0.0.1", "0.0.0.0", "")]
    [True, True, False, False]
    """
    return host.lower() == "localhost" or is_loopback(host)


def is_trusted_host(host: str | None) -> bool:
    """Return whether a ``Host`` header is safe from DNS rebinding: an IP address or localhost.

    >>> hosts = ("localhost:8400", "[::1]:8400", "10.0.0.7", "evil.example")
    >>> [is_trusted_host(host) for host in hosts]
    [True, True, True, False]
    """
    name = _without_port(host or "").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_cross_site(fetch_site: str, origin: str | None, host: str | None) -> bool:
    """Return whether a browser sent a request on behalf of a web page of another origin.

    ``fetch_site`` is the ``Sec-Fetch-Site`` header. Other clients send neither header.

    >>> is_cross_site("", None, "shop.example"), is_cross_site("cross-site", None, "shop.example")
    (False, True)
    >>> is_cross_site("", "https://shop.example", "shop.example"), is_cross_site("", "null", "x")
    (False, True)
    """
    if fetch_site.strip().lower() not in _SAME_SITE_VALUES:
        return True  # same-site too: another port of localhost is the same site
    if origin is None:
        return False
    scheme, separator, place = origin.strip().lower().partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    if not separator or default is None:
        return True
    return place.removesuffix(default) != (host or "").strip().lower().removesuffix(default)


def local_url(host: str, port: int) -> str:
    """Return the URL by which this machine reaches a server that listens on a host and a port.

    >>> local_url("0.0.0.0", 8400), local_url("::1", 8400)
    ('http://127.0.0.1:8400', 'http://[::1]:8400')
    """
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
