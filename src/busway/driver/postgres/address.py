"""The address of a PostgreSQL database: servers, account, and options."""

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
    """A database on one server, or on that one of several which accepts writes.

    ``postgresql://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?OPTION=VALUE&…``. The options are
    those of asyncpg (TLS, ``target_session_attrs``) and settings of the sessions; ``sync`` is
    Busway's own.
    """

    url: str
    """The address in the form that asyncpg accepts."""
    label: str
    """The address for people, without secrets."""
    hosts: tuple[Host, ...] = ()
    """The servers; none if asyncpg's defaults apply."""
    sync: str = "always"
    """``always``, or ``lazy`` to accept a server that acknowledges before it syncs."""

    @classmethod
    def parse(cls, address: str) -> Self:
        """Parse an address; raises :class:`SettingsError` that says what is wrong with it."""
        example = "postgresql://HOST/DATABASE"
        scheme, userinfo, servers, parts = split_address(_ADDRESS, address, "PostgreSQL", example)
        user, colon, password = userinfo.partition(":")
        account = f"{_requote(user)}{colon}{_requote(password)}@" if userinfo else ""
        label = f"postgresql://{servers}{parts.path}"
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        sync = options.pop("sync", "always")
        if sync not in ("always", "lazy"):
            raise SettingsError(f"{label}: sync is {sync!r}; give always or lazy")
        commit = options.get("synchronous_commit", "on")
        if sync == "always" and commit not in SAFE_COMMIT_LEVELS:
            raise SettingsError(
                f"{label}: with synchronous_commit={commit} acknowledged events can be lost; set on"
                " or remote_apply, or accept it with sync=lazy"
            )
        hosts = tuple(_parse_host(host, label) for host in servers.split(",")) if servers else ()
        if len(hosts) > 1:
            options.setdefault(_TARGET_SESSION_ATTRS, "read-write")
            servers = ""  # the connector tries one after the other
        tail = urlunsplit(parts._replace(netloc="", query=urlencode(options)))
        return cls(f"{scheme}://{account}{servers}{tail}", label, hosts, sync)

    def check_files(self) -> None:
        """Raise :class:`SettingsError` if a named file cannot be read.

        The error of asyncpg does not say which file it is.
        """
        options = dict(parse_qsl(urlsplit(self.url).query))
        for option in _FILE_OPTIONS:
            if option in options:
                check_file(options[option], option, self.label)


def _requote(text: str) -> str:
    """Quote a user or a password, which may be quoted already, for asyncpg."""
    return quote(unquote(text), safe="")


def _parse_host(text: str, label: str) -> Host:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::(\d+))?", text)
    if match is None:
        raise SettingsError(f"{label}: {text!r} is not a host; give HOST or HOST:PORT")
    name, port = unquote(match[1] or match[2]), int(match[3]) if match[3] else None
    if port is not None and port > _MAX_PORT:
        raise SettingsError(f"{label}: {port} is not a port; give one up to {_MAX_PORT}")
    try:
        name.encode(
            "utf-8" if name.startswith("/") else "idna"
        )  # a path of a socket, or a name to resolve
    except UnicodeError as error:
        raise SettingsError(f"{label}: {name!r} is not a valid host name ({error})") from error
    return Host(name, port)
