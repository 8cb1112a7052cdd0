"""The NATS client, which insists on TLS and hears why it is refused, and what its errors mean."""

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
_ADDRESS_HINT = "is the address right, with the port for clients (4222 by itself)?"


class TlsUnavailable(nats.errors.Error):
    """TLS is insisted on, and the server has none."""

    def __str__(self) -> str:
        return (
            "the server has no TLS, and the address insists on it (tls://, ?tls=, ?ca=, ?cert=):"
            " nothing was said to it; set tls on the servers, or give nats:// without these"
        )


class _HandshakeTransport(TcpTransport):
    """Sends CONNECT together with the PING that the client says next.

    A server tells who it does not know why, and closes. A PING sent apart can meet the closed
    connection, whose reset then takes the reason with it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._held_back = b""

    def __bool__(self) -> bool:
        return True  # the client makes one of its own in place of one that is false

    def write(self, payload: bytes) -> None:
        if payload.startswith(_CONNECT):
            self._held_back = payload
        else:
            kept, self._held_back = self._held_back, b""
            super().write(kept + payload)  # type: ignore[no-untyped-call]


class NatsClient(nats.aio.client.Client):
    """Goes over to TLS before it says anything, or says nothing, where TLS is insisted on.

    By itself it takes the server's word for whether there is to be TLS.
    """

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__()
        self._tls_required = tls
        self._transport = _HandshakeTransport()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Take in what a server says of itself; at first that is before the client says who it is.

        Raises :class:`TlsUnavailable`.
        """
        if self._tls_required and initial_connection and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise TlsUnavailable
            info["tls_required"] = True  # which the client looks at next
        await super()._process_info(info, initial_connection)


def describe_error(error: BaseException) -> str:
    """Return what a person is told of an error of the connection, and what to do."""
    text = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return f"nothing that speaks NATS answered in time; {_ADDRESS_HINT}"
    if _NOT_NATS_TEXT in text:
        return f"what answers there does not speak NATS, or is just stopping; {_ADDRESS_HINT}"
    if _AUTHORIZATION_TEXT in text.lower():
        return (
            f"{text}; give who the servers know (USER:PASSWORD@, TOKEN@, ?creds=FILE, ?nkey=FILE)"
        )
    if _PERMISSIONS_TEXT in text.lower():
        return f"{text}; allow it to this user on the servers"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{text}; name who signed it with ?ca=FILE, and the servers as it does"
    return f"{text}; is it running, is the address right?" if isinstance(error, OSError) else text
