"""ETags (RFC 9110, section 8.8.3): not to send again what is known, not to change what is not."""

from __future__ import annotations

from typing import Any

import xxhash
from litestar import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.serialization import encode_json
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def etag(value: object) -> str:
    """Return the ETag of a record: that of the body which a ``GET`` of it has."""
    return _of_body(encode_json(value))


def check_match(request: Request[Any, Any, Any], value: object) -> None:
    """Let a change of a record go on when ``If-Match`` is absent or is the ETag of ``value``.

    ``value`` is the record as it is now, as its ``GET`` returns it (``None``: there is none).
    Raises a 412 problem otherwise.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or _names(wanted, None if value is None else etag(value)):
        return
    raise HTTPException(
        status_code=412, detail="it has been changed since you read it; read it again"
    )


def tagging(app: ASGIApp) -> ASGIApp:
    """Give every JSON answer to a ``GET`` an ETag, and 304 to who has it already."""

    async def tagged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
            await app(scope, receive, send)
            return
        wanted = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        await app(scope, receive, _Tagger(send, wanted).send)

    return tagged


class _Tagger:
    """Holds back the start of an answer until its body is known."""

    def __init__(self, send: Send, wanted: str) -> None:
        self._send = send
        self._wanted = wanted
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] == 200 and _is_json(message):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            start, self._start = self._start, None
            if not message.get("more_body"):
                message = self._tag(start, message)
            await self._send(start)
        await self._send(message)

    def _tag(self, start: Message, body: Message) -> Message:
        # a start and a body, as `send` has seen; litestar's union of messages cannot say so
        found = _of_body(body["body"])  # type: ignore[typeddict-item]
        headers = MutableScopeHeaders.from_message(start)
        headers["etag"] = found
        if not _names(self._wanted, found):
            return body
        start["status"] = 304  # type: ignore[typeddict-unknown-key]
        for name in ("content-length", "content-type"):
            if name in headers:
                del headers[name]
        return {"type": "http.response.body", "body": b"", "more_body": False}


def _is_json(message: Any) -> bool:
    return any(
        name.lower() == b"content-type" and b"json" in value for name, value in message["headers"]
    )


def _names(header: str, found: str | None) -> bool:
    if header.strip() == "*":
        return found is not None
    return found in [one.strip().removeprefix("W/") for one in header.split(",")]


def _of_body(body: bytes) -> str:
    return f'"{xxhash.xxh3_64_hexdigest(body)}"'
