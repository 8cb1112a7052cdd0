"""HEAD requests (RFC 9110, section 9.3.2): the answer to a GET without its body."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send


def answer_head(app: ASGIApp) -> ASGIApp:
    """Answer HEAD by the GET of an app; the server leaves the body out.

    An endless answer, like a live tail, ends after its head.
    """

    async def headed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return
        client = _HeadOnlyClient(receive, send)
        await app({**scope, "method": "GET"}, client.receive, client.send)
        await client.end()

    return headed


class _HeadOnlyClient:
    """A client that disconnects as soon as it has the head of an answer."""

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
        """Complete an answer that was cut off."""
        if self._begun and not self._ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
