"""ETags (RFC 9110, section 8.8.3): conditional reads (304) and changes (412)."""

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
    """Return the ETag of a record, which is that of the body of its ``GET``."""
    return _of_body(encode_json(value))


def check_match(request: Request[Any, Any, Any], value: object) -> None:
    """Raise a 412 problem if ``If-Match`` is given and is not the ETag of ``value``.

    ``value`` is the current record, as its ``GET`` returns it (``None``: there is none).
    """
    wanted = request.headers.get("if-match")
    if wanted is None or _matches(wanted, None if value is None else etag(value)):
        return
    raise HTTPException(status_code=412, detail="it has changed since you read it; read it again")


def add_etags(app: ASGIApp) -> ASGIApp:
    """Add an ETag to every JSON answer to a ``GET``; answer 304 if ``If-None-Match`` has it."""

    async def tagged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
            await app(scope, receive, send)
            return
        wanted = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        await app(scope, receive, _EtagSender(send, wanted).send)

    return tagged


class _EtagSender:
    """Delays the start of an answer until its body is known."""

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
        # a start and a body: `send` has checked it; litestar's union of messages cannot express it
        found = _of_body(body["body"])  # type: ignore[typeddict-item]
        headers = MutableScopeHeaders.from_message(start)
        headers["etag"] = found
        if not _matches(self._wanted, found):
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


def _matches(header: str, found: str | None) -> bool:
    if header.strip() == "*":
        return found is not None
    return found in [tag.strip().removeprefix("W/") for tag in header.split(",")]


def _of_body(body: bytes) -> str:
    return f'"{xxhash.xxh3_64_hexdigest(body)}"'
