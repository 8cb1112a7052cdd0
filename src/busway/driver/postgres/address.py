"""Where a PostgreSQL is, and what its address says besides."""

from __future__ import annotations

import re
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from busway.driver.server_address import check_file, split_address
from busway.errors import SettingsError

SAFE_COMMIT_LEVELS = ("on", "remote_apply")
_ADDRESS = re.compile(r"(postgres(?:ql)?)://([^/?#]*)(.*)", re.DOTALL)
_FILE_OPTIONS = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_MAX_PORT = 65_535
_TARGET_SESSION_ATTRS = "target_session_attrs"


class Host(NamedTuple):
    """A server's name, and its port if the address has one."""

    host: str
    port: int | None


class PostgresAddress(msgspec.Struct, frozen=True):
    """A database, on one server or on whichever of several takes writes now.

    ``postgresql://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?OPTION=VALUE&…``. The options are
    those of the driver (TLS, ``target_session_attrs``) and settings of the sessions; ``sync`` is
    Busway's own.
    """

    url: str
    """What the driver takes."""
    label: str
    """What a person calls it, without secrets."""
    hosts: tuple[Host, ...] = ()
    """The servers; none where the driver has to know."""
    sync: str = "always"
    """``always``, or ``lazy`` to accept a server that acknowledges before it has synced."""

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read an address; raises :class:`SettingsError` that says what is wrong with it."""
        like = "postgresql://HOST/DATABASE"
        scheme, who, servers, parts = split_address(_ADDRESS, address, "PostgreSQL", like)
        user, colon, password = who.partition(":")
        account = f"{_requote(user)}{colon}{_requote(password)}@" if who else ""
        place = f"postgresql://{servers}{parts.path}"
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        sync = given.pop("sync", "always")
        if sync not in ("always", "lazy"):
            raise SettingsError(f"{place}: sync is {sync!r}; give always or lazy")
        commit = given.get("synchronous_commit", "on")
        if sync == "always" and commit not in SAFE_COMMIT_LEVELS:
            raise SettingsError(
                f"{place}: synchronous_commit={commit} acknowledges what can be lost; give on or"
                " remote_apply, or accept it with sync=lazy"
            )
        hosts = tuple(_parse_host(one, place) for one in servers.split(",")) if servers else ()
        if len(hosts) > 1:
            given.setdefault(_TARGET_SESSION_ATTRS, "read-write")
            servers = ""  # each is tried by itself
        tail = urlunsplit(parts._replace(netloc="", query=urlencode(given)))
        return cls(f"{scheme}://{account}{servers}{tail}", place, hosts, sync)

    def check_files(self) -> None:
        """Raise :class:`SettingsError` where a file that is named cannot be read.

        The driver's error does not say which one.
        """
        given = dict(parse_qsl(urlsplit(self.url).query))
        for option in _FILE_OPTIONS:
            if option in given:
                check_file(given[option], option, self.label)


def _requote(text: str) -> str:
    """Return a part of an account as the driver reads it whatever is in it; it is quoted or not."""
    return quote(unquote(text), safe="")


def _parse_host(text: str, label: str) -> Host:
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::(\d+))?", text)
    if found is None:
        raise SettingsError(f"{label}: {text!r} is not a host; give HOST or HOST:PORT")
    name, port = unquote(found[1] or found[2]), int(found[3]) if found[3] else None
    if port is not None and port > _MAX_PORT:
        raise SettingsError(f"{label}: {port} is not a port; give one up to {_MAX_PORT}")
    try:
        name.encode("utf-8" if name.startswith("/") else "idna")  # as a path, or to be looked up
    except UnicodeError as error:
        raise SettingsError(f"{label}: {name!r} cannot be the name of a host ({error})") from error
    return Host(name, port)
