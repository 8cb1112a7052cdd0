"""The address of a log in JetStream: servers, credentials, and options."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

import msgspec

from busway.driver.server_address import check_file, split_address
from busway.errors import SettingsError
from busway.spelling import suggestion

DEFAULT_PORT = 4222
_ADDRESS = re.compile(r"(nats|tls)://([^/?#]+)(.*)", re.DOTALL)
_FILE_OPTIONS = ("creds", "nkey", "ca", "cert", "key")
_NOT_OPTIONS = ("servers", "name")
_NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VALUE_KINDS: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}


class JetStreamAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The servers of a log, its name, and its options.

    ``nats://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME?OPTION=VALUE&…``; a token is given as a user
    without a password; ``tls://`` requires TLS. Every option is a field of this record.
    """

    servers: tuple[str, ...]
    name: str = "busway"
    user: str = ""
    password: str = ""
    token: str = ""
    tls: bool = False
    """Whether TLS is required: nothing is sent to a server without it."""
    replicas: int = 0
    """How many servers keep a copy; 0: three in a cluster, one on a single server."""
    sync: str = "always"
    """``always``, or ``lazy`` to accept servers that acknowledge before they sync."""
    monitor: tuple[str, ...] = ()
    """The servers' monitoring addresses (``http://host:8222``), to check how they sync."""
    duplicate_window_s: float = 120.0
    """How long the servers remember the ids of messages, in seconds."""
    compress: bool = True
    """Whether batches are compressed (zstd): it costs little, and saves disk and network."""
    creds: str = ""
    """A credentials file: a JWT and the seed of its key."""
    nkey: str = ""
    """A file with the seed of an NKey."""
    ca: str = ""
    """The CA certificates of the servers, if the system does not know them."""
    cert: str = ""
    """The client's certificate, if the servers require one."""
    key: str = ""
    """The private key of ``cert``."""

    @classmethod
    def parse(cls, address: str) -> Self:
        """Parse an address; raises :class:`SettingsError` that says what is wrong with it."""
        example = "nats://HOST:4222/busway"
        scheme, userinfo, hosts, parts = split_address(_ADDRESS, address, "JetStream", example)
        options: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
        for option, value in options.items():
            _check_option(cls, option, value, _label(hosts))
        options |= _parse_credentials(userinfo)
        if options.get("monitor"):
            options["monitor"] = options["monitor"].split(",")
        options["servers"] = [_with_port(host) for host in hosts.split(",")]
        if scheme == "tls" or any(map(options.get, ("ca", "cert", "key"))):
            options["tls"] = True
        if name := parts.path.strip("/"):
            options["name"] = name
        try:
            return msgspec.convert(options, cls, strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(f"the address of JetStream {_label(hosts)}: {error}") from error

    def __post_init__(self) -> None:
        if not _NAME_PATTERN.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} must be of letters, digits, - and _")
        if self.sync not in ("always", "lazy"):
            raise ValueError(f"sync is {self.sync!r}; give always or lazy")
        if self.replicas not in (0, 1, 2, 3, 4, 5):
            raise ValueError(f"replicas is {self.replicas}; give 1, 3 or 5")
        if self.duplicate_window_s < 0.1:
            raise ValueError("duplicate_window_s must be at least 0.1")
        if self.key and not self.cert:
            raise ValueError("key is given without its cert; give both")

    def __str__(self) -> str:
        """Return the address without secrets."""
        return f"nats://{','.join(self.servers)}/{self.name}"

    def connect_options(self) -> dict[str, Any]:
        """Return the options of the client's ``connect``.

        Raises :class:`SettingsError` if a named file cannot be used.
        """
        self.check_files()
        credentials: dict[str, Any] = {
            "user": self.user,
            "password": self.password,
            "token": self.token,
            "user_credentials": self.creds,
            "nkeys_seed": self.nkey,
        }
        options = {name: value for name, value in credentials.items() if value}
        if self.tls:
            options["tls"] = self._tls_context()
        scheme = "tls" if self.tls else "nats"
        return options | {"servers": [f"{scheme}://{server}" for server in self.servers]}

    def check_files(self) -> None:
        """Raise :class:`SettingsError` if a named file cannot be read.

        The client reads credentials only if a server asks for them.
        """
        for option in _FILE_OPTIONS:
            if path := getattr(self, option):
                check_file(path, option, str(self))

    def _tls_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except OSError as error:
            raise SettingsError(f"{self}: the TLS files cannot be used: {error}") from error
        return context


def _parse_credentials(userinfo: str) -> dict[str, str]:
    name, separator, password = userinfo.partition(":")
    if separator:
        return {"user": unquote(name), "password": unquote(password)}
    return {"token": unquote(name)} if name else {}


def _with_port(host: str) -> str:
    return host if re.search(r":\d+$", host) else f"{host}:{DEFAULT_PORT}"


def _check_option(
    address_type: type[JetStreamAddress], option: str, value: str, label: str
) -> None:
    """Raise :class:`SettingsError` for an unknown option or a wrong value."""
    fields = {field.name: field for field in msgspec.structs.fields(address_type)}
    known = [name for name in fields if name not in _NOT_OPTIONS]
    if option not in known:
        raise SettingsError(
            f"the address of JetStream {label} has no option {option!r};"
            f" {suggestion(option, known)}"
        )
    kind = _VALUE_KINDS.get(fields[option].type)
    try:
        if kind:
            msgspec.convert(value, fields[option].type, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"the address of JetStream {label}: {option} is {value!r}; give {kind}"
        ) from error


def _label(hosts: str) -> str:
    return f"nats://{hosts}"
