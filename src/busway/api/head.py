"""HEAD (RFC 9110, section 9.3.2): what a GET would answer, without its body."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send


def heading(app: ASGIApp) -> ASGIApp:
    """Answer HEAD as GET, by an app that knows only GET; the server leaves the body out.

    What would go on for ever, like a live tail, ends with its head.
    """

    async def headed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return
        client = _Impatient(receive, send)
        await app({**scope, "method": "GET"}, client.receive, client.send)
        await client.end()

    return headed


class _Impatient:
    """A client that goes away as soon as it has the head of an answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._begun = self._ended = False

    async def receive(self) -> ReceiveMessage:
        return {"type": "http.disconnect"} if self._begun else await self._receive()

    async def send(self, message: Message) -> None:
        self._begun = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def end(self) -> None:
        """End an answer that was left in the middle."""
        if self._begun and not self._ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
