"""Connections of the ``http`` sink: the status of an answer is known also if the rest is bad."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from busway.sink.http.response import HttpResponse, decompressed, status_of

_MAX_LINE_BYTES = 65_536
"""The longest line and field of an answer's head, in bytes."""
_MAX_FIELDS = 1024
_MAX_BODY_BYTES = 8192
_BODY_TIMEOUT_S = 1.0
"""How long the rest of an answer's body is waited for, in seconds."""


class InvalidHttpResponse(HttpProcessingError):
    """An answer that cannot be parsed; ``status`` is what its status line says, if it has one."""

    status: int | None = None


class _ResponseHandler(ResponseHandler):
    """Keeps the beginning of each answer, in which its status is found when parsing fails."""

    _beginning = b""

    def set_response_params(self, **params: Any) -> None:
        self._beginning = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if len(self._beginning) < _MAX_LINE_BYTES:
            self._beginning += data[:_MAX_LINE_BYTES]
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: Any) -> None:
        if isinstance(exc, HttpProcessingError):
            invalid = InvalidHttpResponse(code=exc.code, message=exc.message, headers=exc.headers)
            invalid.status, exc = status_of(self._beginning), invalid
        super().set_exception(exc, *cause)


def make_connector() -> aiohttp.TCPConnector:
    """Return a connector without a limit on connections."""
    made = aiohttp.TCPConnector(limit=0)
    made._factory = partial(_response_handler, loop=asyncio.get_running_loop())
    return made


def _response_handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _ResponseHandler(loop)


def open_session(timeout_s: float) -> aiohttp.ClientSession:
    """Return a session that takes answers as they come: nothing is decompressed or followed."""
    return aiohttp.ClientSession(
        connector=make_connector(),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        trace_configs=[_connection_tracing()],
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "busway", "Accept-Encoding": "identity"},
        auto_decompress=False,
        max_line_size=_MAX_LINE_BYTES,
        max_field_size=_MAX_LINE_BYTES,
        max_headers=_MAX_FIELDS,
    )


class HttpExchange:
    """One request and its answer, as far as they got.

    ``connected`` is false while the request waits for a name, a server or a handshake.
    """

    def __init__(self) -> None:
        self.connected = True
        self.response: HttpResponse | None = None

    async def receive(self, response: aiohttp.ClientResponse) -> None:
        """Note the status, then the beginning of the body if it comes soon."""
        headers = response.headers
        wanted = (headers.get(name) for name in ("Retry-After", "Location", "Date"))
        self.response = HttpResponse(response.status, b"", *wanted)
        body = bytearray()
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                while len(body) < _MAX_BODY_BYTES and (chunk := await response.content.readany()):
                    body += chunk[:_MAX_BODY_BYTES]
        shown = decompressed(bytes(body), headers.get("Content-Encoding", ""), _MAX_BODY_BYTES)
        self.response = msgspec.structs.replace(self.response, body=shown)

    def fail(self, error: aiohttp.ClientResponseError) -> None:
        """Note the status of an answer that cannot be parsed."""
        invalid = error.__cause__
        if isinstance(invalid, InvalidHttpResponse) and invalid.status is not None:
            self.response = HttpResponse(invalid.status, b"(the answer is not valid HTTP)")


def _connection_tracing() -> aiohttp.TraceConfig:
    """Return what notes in an ``HttpExchange`` if it has a connection; told of new ones only."""

    async def begins(_: aiohttp.ClientSession, of: SimpleNamespace, __: object) -> None:
        of.trace_request_ctx.connected = False

    async def is_there(_: aiohttp.ClientSession, of: SimpleNamespace, __: object) -> None:
        of.trace_request_ctx.connected = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_start.append(begins)
    tracing.on_connection_create_end.append(is_there)
    return tracing


async def why_unreachable(url: str, timeout_s: float) -> str | None:
    """Return why no connection comes about, with TLS for ``https``; nothing is sent over it."""
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (80 if secure is None else 443)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
    except TimeoutError:
        return f"no connection within {timeout_s:g} s"
    except (OSError, ssl.SSLError, ValueError) as error:
        return error_cause(error)
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
        async with asyncio.timeout(timeout_s):
            await writer.wait_closed()
    return None


def error_cause(error: BaseException) -> str:
    """Return what the system says, which holds no URL."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
