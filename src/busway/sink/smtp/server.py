"""What an opened ``smtp`` sink works with: the server, filled in and checked."""

from __future__ import annotations

import ssl
from typing import Literal

import msgspec

from busway.errors import SinkError

Tls = Literal["starttls", "tls", "none"]


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server, and how to speak to it; the fields are those of ``Smtp``."""

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
    """Return what certificates are verified by. Raises :class:`SinkError` for a file that is not
    one of certificates."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SinkError(f"smtp(ca={ca_file!r}): it holds no certificates: {error}") from error
