"""The address of one server or several, as far as it is read alike for every engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from busway.errors import SettingsError


class Parts(NamedTuple):
    """``SCHEME://ACCOUNT@HOSTS`` and what comes behind the hosts; quoted as it was written."""

    scheme: str
    account: str
    hosts: str
    behind: SplitResult


def parted(form: re.Pattern[str], address: str, server: str, like: str) -> Parts:
    """Return the parts of an address of a server; ``form`` has groups for scheme, hosts and rest.

    Raises :class:`SettingsError` where it has another form, and where a part of a password is
    behind the hosts; that shows nothing of it, since a part may be anywhere.
    """
    found = form.fullmatch(address)
    if found is None:
        raise SettingsError(f"the address of {server} must be like {like}")
    scheme, netloc, rest = found.groups()
    behind = urlsplit(f"//host{rest}")  # of several hosts it takes no [IPv6]
    if "@" in behind.path + behind.fragment or _has_hosts(behind):
        raise SettingsError(
            f"the address of {server} has an @ behind its hosts; in a user or a password"
            " write / as %2F, ? as %3F, # as %23"
        )
    account, _, hosts = netloc.rpartition("@")
    return Parts(scheme, account, hosts, behind)


def _has_hosts(behind: SplitResult) -> bool:
    """Say whether hosts seem to be in the query: a password with a ? began it."""
    before, at, _ = behind.query.partition("@")
    return bool(at) and ("=" not in before or not behind.path)


def check_file(path: str, option: str, place: str) -> None:
    """Raise :class:`SettingsError` where the file that an option names cannot be read."""
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{place}: {path} cannot be read ({error.strerror}); correct ?{option}= in the address"
        ) from error
