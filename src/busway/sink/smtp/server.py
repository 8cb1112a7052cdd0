"""Configuration of an opened ``smtp`` sink: its server, resolved and validated."""

from __future__ import annotations

import ssl
from typing import Literal

import msgspec

from busway.errors import SinkError

Tls = Literal["starttls", "tls", "none"]


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server and its connection settings; the fields are those of ``Smtp``."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: Tls
    tls_context: ssl.SSLContext | None
    timeout_s: float
    connections: int

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return the context that verifies certificates.

    Raises :class:`SinkError` if the file holds none.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SinkError(f"smtp(ca={ca_file!r}): it holds no certificates: {error}") from error
