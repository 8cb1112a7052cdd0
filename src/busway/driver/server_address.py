"""What the addresses of all kinds of servers have in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from busway.errors import SettingsError


class AddressParts(NamedTuple):
    """``SCHEME://USERINFO@HOSTS`` and the rest behind the hosts, quoted as in the address."""

    scheme: str
    userinfo: str
    hosts: str
    rest: SplitResult


def split_address(
    pattern: re.Pattern[str], address: str, server: str, example: str
) -> AddressParts:
    """Split an address; ``pattern`` has groups for scheme, hosts and rest.

    Raises :class:`SettingsError` if the address does not match, or if a part of a password seems to
    be behind the hosts. The error quotes nothing, because any part may belong to the password.
    """
    match = pattern.fullmatch(address)
    if match is None:
        raise SettingsError(f"the address of {server} must be like {example}")
    scheme, netloc, rest = match.groups()
    tail = urlsplit(f"//host{rest}")  # urlsplit rejects several hosts with [IPv6]
    if "@" in tail.path + tail.fragment or _query_has_hosts(tail):
        raise SettingsError(
            f"the address of {server} has an @ behind its hosts; in a user or a password"
            " write / as %2F, ? as %3F, # as %23"
        )
    userinfo, _, hosts = netloc.rpartition("@")
    return AddressParts(scheme, userinfo, hosts, tail)


def _query_has_hosts(rest: SplitResult) -> bool:
    """Return whether the query seems to have hosts: then it begins inside a password with a ?."""
    before, at, _ = rest.query.partition("@")
    return bool(at) and ("=" not in before or not rest.path)


def check_file(path: str, option: str, label: str) -> None:
    """Raise :class:`SettingsError` if the file that an option names cannot be read."""
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{label}: {path} cannot be read ({error.strerror}); correct ?{option}= in the address"
        ) from error
