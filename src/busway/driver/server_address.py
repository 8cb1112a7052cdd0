"""The address of one server or several, as far as it is read alike for every engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from busway.errors import SettingsError


class AddressParts(NamedTuple):
    """``SCHEME://ACCOUNT@HOSTS`` and what comes behind the hosts; quoted as it was written."""

    scheme: str
    userinfo: str
    hosts: str
    rest: SplitResult


def split_address(
    pattern: re.Pattern[str], address: str, server: str, example: str
) -> AddressParts:
    """Return the parts of an address of a server; ``pattern`` has groups for scheme, hosts and
    rest.

    Raises :class:`SettingsError` where it has another form, and where a part of a password is
    behind the hosts; that shows nothing of it, since a part may be anywhere.
    """
    found = pattern.fullmatch(address)
    if found is None:
        raise SettingsError(f"the address of {server} must be like {example}")
    scheme, netloc, rest = found.groups()
    behind = urlsplit(f"//host{rest}")  # of several hosts it takes no [IPv6]
    if "@" in behind.path + behind.fragment or _query_has_hosts(behind):
        raise SettingsError(
            f"the address of {server} has an @ behind its hosts; in a user or a password"
            " write / as %2F, ? as %3F, # as %23"
        )
    account, _, hosts = netloc.rpartition("@")
    return AddressParts(scheme, account, hosts, behind)


def _query_has_hosts(rest: SplitResult) -> bool:
    """Say whether hosts seem to be in the query: a password with a ? began it."""
    before, at, _ = rest.query.partition("@")
    return bool(at) and ("=" not in before or not rest.path)


def check_file(path: str, option: str, label: str) -> None:
    """Raise :class:`SettingsError` where the file that an option names cannot be read."""
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{label}: {path} cannot be read ({error.strerror}); correct ?{option}= in the address"
        ) from error
