"""A NATS client that can require TLS and learns why it is refused, and texts for its errors."""

from __future__ import annotations

import ssl
from typing import Any

import nats.aio.client
import nats.errors
from nats.aio.transport import TcpTransport

_CONNECT = b"CONNECT "
_NOT_NATS_TEXT = "empty response from server"
_AUTHORIZATION_TEXT = "authorization violation"
_PERMISSIONS_TEXT = "permissions violation"
_ADDRESS_HINT = "is the address right, with the port for clients (4222 by default)?"


class TlsUnavailable(nats.errors.Error):
    """TLS is required, and the server has none."""

    def __str__(self) -> str:
        return (
            "the server has no TLS, and the address requires it (tls://, ?tls=, ?ca=, ?cert=):"
            " nothing was sent to it; set tls on the servers, or give nats:// without these"
        )


class _HandshakeTransport(TcpTransport):
    """Sends CONNECT together with the PING that follows it.

    A server tells an unknown client the reason, and closes. A separate PING can reach the closed
    connection, whose reset then discards the reason.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._held_back = b""

    def __bool__(self) -> bool:
        return True  # the client replaces a transport that is false

    def write(self, payload: bytes) -> None:
        if payload.startswith(_CONNECT):
            self._held_back = payload
        else:
            connect, self._held_back = self._held_back, b""
            super().write(connect + payload)  # type: ignore[no-untyped-call]


class NatsClient(nats.aio.client.Client):
    """If TLS is required, starts TLS before it sends anything, or sends nothing.

    The base class lets the server decide whether there is TLS.
    """

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__()
        self._tls_required = tls
        self._transport = _HandshakeTransport()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Handle the server's INFO; the first one comes before the client sends its credentials.

        Raises :class:`TlsUnavailable`.
        """
        if self._tls_required and initial_connection and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise TlsUnavailable
            info["tls_required"] = True  # the base class reads it next
        await super()._process_info(info, initial_connection)


def describe_error(error: BaseException) -> str:
    """Return a text for an error of the connection, with the remedy."""
    text = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return f"no NATS server answered in time; {_ADDRESS_HINT}"
    if _NOT_NATS_TEXT in text:
        return f"the server does not speak NATS, or is just stopping; {_ADDRESS_HINT}"
    if _AUTHORIZATION_TEXT in text.lower():
        return f"{text}; give valid credentials (USER:PASSWORD@, TOKEN@, ?creds=FILE, ?nkey=FILE)"
    if _PERMISSIONS_TEXT in text.lower():
        return f"{text}; allow it to this user on the servers"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{text}; give its CA with ?ca=FILE, and the host names that it is issued for"
    return f"{text}; is it running, is the address right?" if isinstance(error, OSError) else text
