"""IP addresses as numbers, parsed as strictly as by the operating system."""

from __future__ import annotations

import re
import socket

_VERSION_4 = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_VERSION_6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_MAX_LENGTH = 45
"""The maximum length of an address; the expressions take quadratic time."""
_IPV4_MAPPED_PREFIX = 0xFFFF << 32


def parse_ip_address(text: str) -> tuple[int, int] | None:
    """Return the version (4 or 6) and number of an IP address, or None if it is invalid.

    Accepts dotted quads in decimal without leading zeros, and IPv6 in hexadecimal groups. An
    IPv4-mapped IPv6 address (``::ffff:a00:1``) is returned as IPv4.

    >>> parse_ip_address("10.0.0.1")
    (4, 167772161)
    """
    if len(text) > _MAX_LENGTH:
        return None
    if _VERSION_4.fullmatch(text):
        return _number(socket.AF_INET, 4, text)
    if _VERSION_6.fullmatch(text):
        return _unmapped(_number(socket.AF_INET6, 6, text))
    return None


def _number(family: socket.AddressFamily, version: int, text: str) -> tuple[int, int] | None:
    try:
        return version, int.from_bytes(socket.inet_pton(family, text))
    except OSError:
        return None


def _unmapped(found: tuple[int, int] | None) -> tuple[int, int] | None:
    if found is not None and found[1] >> 32 << 32 == _IPV4_MAPPED_PREFIX:
        return 4, found[1] & 0xFFFFFFFF
    return found
